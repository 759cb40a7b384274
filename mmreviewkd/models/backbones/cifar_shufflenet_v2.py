"""ShuffleNetV2 for small images ("ShuffleNet V2: Practical Guidelines", ECCV 2018)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmreviewkd.registry import MODELS


def _convolution(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)


class ShuffleUnit(nn.Module):
    """Basic ShuffleNetV2 unit: convolve one half of the channels, keep the other, concatenate and shuffle.

    The last call of ``relu`` is on the concatenated halves; the unchanged half has no negative values.

    Args:
        channels (int): Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = _convolution(half, stride=1)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, channels, H, W]`` to the same."""
        passing, out = x.chunk(2, dim=1)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(out)))))
        out = self.bn3(self.conv3(out))
        return F.channel_shuffle(self.relu(torch.cat([passing, out], dim=1)), 2)


class DownUnit(nn.Module):
    """Downsampling ShuffleNetV2 unit: concatenate two branches of stride 2 and shuffle.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the output.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = _convolution(in_channels, stride=2)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = _convolution(half, stride=2)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = nn.Conv2d(half, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, channels, H / 2, W / 2]``."""
        left = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        right = self.bn4(self.conv4(self.relu(self.bn3(self.conv3(x)))))
        right = self.bn5(self.conv5(right))
        return F.channel_shuffle(self.relu(torch.cat([left, right], dim=1)), 2)


@MODELS.register_module()
class CIFARShuffleNetV2(BaseModule):
    """ShuffleNetV2 1.0x for images of 32 pixels; the stem is one 1x1 convolution.

    Args:
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Which of the three stages (0 to 2) and the last convolution (3) to output.
            Defaults to (3,).
        init_cfg (dict or list, optional): Initialization. Defaults to None, which leaves it to torch.

    Raises:
        ValueError: If ``out_indices`` names no such stage.
    """

    def __init__(
            self,
            in_channels: int = 3,
            out_indices: Sequence[int] = (3,),
            init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if not set(out_indices) <= {0, 1, 2, 3}:
            raise ValueError(f'CIFARShuffleNetV2: out_indices must be among 0 to 3, but are {tuple(out_indices)}')
        self.out_indices = tuple(out_indices)
        previous = 24
        self.conv1 = nn.Conv2d(in_channels, previous, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(previous)
        self.relu = nn.ReLU(inplace=True)
        for stage, (width, units) in enumerate(((116, 4), (232, 8), (464, 4))):
            self.add_module(f'layer{stage + 1}', nn.Sequential(
                DownUnit(previous, width), *(ShuffleUnit(width) for _ in range(units - 1))))
            previous = width
        self.conv2 = nn.Conv2d(previous, 1024, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(1024)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Stage outputs for images ``[N, in_channels, H, W]``: of ``H`` / 2, 4, 8 and 8 rows."""
        first = self.layer1(self.relu(self.bn1(self.conv1(x))))
        second = self.layer2(first)
        third = self.layer3(second)
        outputs = (first, second, third, self.relu(self.bn2(self.conv2(third))))
        return tuple(outputs[index] for index in sorted(self.out_indices))
