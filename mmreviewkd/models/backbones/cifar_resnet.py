"""ResNets for small images, as in Sec. 4.2 of "Deep Residual Learning" (CVPR 2016)."""

import itertools
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmreviewkd.registry import MODELS


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; ``relu`` is called last on their sum.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the output.
        stride (int): Stride of the first convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, channels, H / stride, W / stride]``."""
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


@MODELS.register_module()
class CIFARResNet(BaseModule):
    """A ResNet of three stages, for images of 28 or 32 pixels.

    Args:
        depth (int): Number of layers, ``6 n + 2`` for ``n`` blocks in each stage.
        widths (Sequence[int]): Channels of the stem and of the three stages. Defaults to (16, 16, 32, 64).
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Stages to output, of 0 to 2. Defaults to (2,).
        init_cfg (dict or list, optional): Initialization. Defaults to Kaiming for convolutions, 1 for norm weights.

    Raises:
        ValueError: If the depth is not ``6 n + 2``, there are not four widths, or a stage does not exist.
    """

    def __init__(
            self,
            depth: int,
            widths: Sequence[int] = (16, 16, 32, 64),
            in_channels: int = 3,
            out_indices: Sequence[int] = (2,),
            init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg or [
            dict(type='Kaiming', layer='Conv2d'), dict(type='Constant', layer='BatchNorm2d', val=1)])
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f'CIFARResNet: depth must be 6n + 2 (8, 14, 20, ...), but is {depth}')
        if len(widths) != 4:
            raise ValueError(f'CIFARResNet: widths must be four, of the stem and three stages, but are {widths}')
        if not set(out_indices) <= {0, 1, 2}:
            raise ValueError(f'CIFARResNet: out_indices must be among 0, 1 and 2, but are {tuple(out_indices)}')
        self.out_indices = tuple(out_indices)
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        for stage, (previous, width) in enumerate(itertools.pairwise(widths)):
            strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
            self.add_module(f'layer{stage + 1}', nn.Sequential(*(
                BasicBlock(previous if i == 0 else width, width, stride) for i, stride in enumerate(strides))))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the stages for images ``[N, in_channels, H, W]``; stage ``i`` has stride ``2^i``."""
        x = self.relu(self.bn1(self.conv1(x)))
        outputs = []
        for index, layer in enumerate((self.layer1, self.layer2, self.layer3)):
            x = layer(x)
            if index in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
