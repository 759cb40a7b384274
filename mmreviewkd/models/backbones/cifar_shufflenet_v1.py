"""ShuffleNet for small images ("ShuffleNet: An Extremely Efficient CNN for Mobile Devices", CVPR 2018)."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmreviewkd.registry import MODELS

_STEM = 24
_GROUPS = 3


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of ``groups`` groups; torch's own function cannot be differentiated on torch 2.1."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


class ShuffleUnit(nn.Module):
    """A grouped 1x1, a depthwise 3x3 and a grouped 1x1 convolution with a channel shuffle, and a shortcut.

    ``relu`` is called last on the sum with the shortcut or, at stride 2, on their concatenation.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the output.
        stride (int): Stride of the 3x3 convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        channels = channels if stride == 1 else channels - in_channels
        middle = channels // 4
        self.groups = 1 if in_channels == _STEM else _GROUPS
        self.conv1 = nn.Conv2d(in_channels, middle, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, padding=1, groups=middle, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, channels, 1, groups=_GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.pool = None if stride == 1 else nn.AvgPool2d(3, stride, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, channels, H / stride, W / stride]``."""
        out = channel_shuffle(self.relu(self.bn1(self.conv1(x))), self.groups)
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        return self.relu(out + x if self.pool is None else torch.cat([out, self.pool(x)], dim=1))


@MODELS.register_module()
class CIFARShuffleNetV1(BaseModule):
    """ShuffleNet with three groups for images of 32 pixels, whose stem is a 1x1 convolution.

    Args:
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Stages to output, of 0 to 2. Defaults to (2,).
        init_cfg (dict or list, optional): Initialization. Defaults to None: torch's own.

    Raises:
        ValueError: If a stage does not exist.
    """

    def __init__(
            self,
            in_channels: int = 3,
            out_indices: Sequence[int] = (2,),
            init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if not set(out_indices) <= {0, 1, 2}:
            raise ValueError(f'CIFARShuffleNetV1: out_indices must be among 0, 1 and 2, but are {tuple(out_indices)}')
        self.out_indices = tuple(out_indices)
        self.conv1 = nn.Conv2d(in_channels, _STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.relu = nn.ReLU(inplace=True)
        previous = _STEM
        for stage, (width, units) in enumerate(((240, 4), (480, 8), (960, 4))):
            self.add_module(f'layer{stage + 1}', nn.Sequential(
                ShuffleUnit(previous, width, stride=2),
                *(ShuffleUnit(width, width, stride=1) for _ in range(units - 1))))
            previous = width

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the stages for images ``[N, in_channels, H, W]``, of strides 2, 4 and 8."""
        x = self.relu(self.bn1(self.conv1(x)))
        outputs = []
        for index, layer in enumerate((self.layer1, self.layer2, self.layer3)):
            x = layer(x)
            if index in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
