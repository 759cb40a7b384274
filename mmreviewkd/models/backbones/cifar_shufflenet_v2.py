"""ShuffleNetV2 for small images ("ShuffleNet V2: Practical Guidelines", ECCV 2018)."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmreviewkd.registry import MODELS


def _convolution(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of ``groups`` groups; torch's own function cannot be differentiated on torch 2.1."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


class ShuffleUnit(nn.Module):
    """Three convolutions on one half of the channels, the identity on the other, and a channel shuffle of both.

    ``relu`` is called last on the concatenation of both halves; the unchanged half has no negative values.

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
        """``[N, channels, H, W]`` to ``[N, channels, H, W]``."""
        unchanged, out = x.chunk(2, dim=1)
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(out)))))
        out = self.bn3(self.conv3(out))
        return channel_shuffle(self.relu(torch.cat([unchanged, out], dim=1)), 2)


class DownUnit(nn.Module):
    """Two branches of stride 2, concatenated and shuffled.

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
        return channel_shuffle(self.relu(torch.cat([left, right], dim=1)), 2)


@MODELS.register_module()
class CIFARShuffleNetV2(BaseModule):
    """ShuffleNetV2 of width 1 for images of 32 pixels, whose stem is a 1x1 convolution.

    Args:
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Outputs, of the three stages (0 to 2) and the last convolution (3). Defaults to
            (3,).
        init_cfg (dict or list, optional): Initialization. Defaults to None: torch's own.

    Raises:
        ValueError: If a stage does not exist.
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
        """Outputs of the stages for images ``[N, in_channels, H, W]``, of strides 2, 4, 8 and 8."""
        first = self.layer1(self.relu(self.bn1(self.conv1(x))))
        second = self.layer2(first)
        third = self.layer3(second)
        outputs = (first, second, third, self.relu(self.bn2(self.conv2(third))))
        return tuple(outputs[index] for index in sorted(self.out_indices))
