"""Wide ResNets for small images ("Wide Residual Networks", BMVC 2016)."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmreviewkd.registry import MODELS


class PreActivationBlock(nn.Module):
    """Two 3x3 convolutions, each after a batch norm and a ReLU, and a shortcut.

    In the first block of a stage, the input of ``relu1`` is the normalized output of the previous stage before its
    ReLU.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the output.
        stride (int): Stride of the first convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.downsample = None
        if in_channels != channels:
            self.downsample = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, channels, H / stride, W / stride]``."""
        activated = self.relu1(self.bn1(x))
        out = self.conv2(self.relu2(self.bn2(self.conv1(activated))))
        # If the channels change, the shortcut starts after the first ReLU.
        return out + (x if self.downsample is None else self.downsample(activated))


@MODELS.register_module()
class CIFARWideResNet(BaseModule):
    """A Wide ResNet of three stages, for images of 32 pixels: WRN-``depth``-``widen_factor``.

    The stages end in sums without a ReLU. The last stage is output after the network's final batch norm and ReLU.

    Args:
        depth (int): Number of layers, ``6 n + 4`` for ``n`` blocks in each stage.
        widen_factor (int): Width factor of the stages, of 16, 32 and 64 channels.
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Stages to output, of 0 to 2. Defaults to (2,).
        init_cfg (dict or list, optional): Initialization. Defaults to Kaiming for convolutions, 1 for norm weights.

    Raises:
        ValueError: If the depth is not ``6 n + 4``, or a stage does not exist.
    """

    def __init__(
            self,
            depth: int,
            widen_factor: int,
            in_channels: int = 3,
            out_indices: Sequence[int] = (2,),
            init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg or [
            dict(type='Kaiming', layer='Conv2d'), dict(type='Constant', layer='BatchNorm2d', val=1)])
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise ValueError(f'CIFARWideResNet: depth must be 6n + 4 (10, 16, 22, ...), but is {depth}')
        if not set(out_indices) <= {0, 1, 2}:
            raise ValueError(f'CIFARWideResNet: out_indices must be among 0, 1 and 2, but are {tuple(out_indices)}')
        self.out_indices = tuple(out_indices)
        width = 16
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        for stage in range(3):
            previous, width = width, 16 * 2**stage * widen_factor
            self.add_module(f'layer{stage + 1}', nn.Sequential(
                PreActivationBlock(previous, width, stride=1 if stage == 0 else 2),
                *(PreActivationBlock(width, width, stride=1) for _ in range(blocks - 1))))
        self.norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the stages for images ``[N, in_channels, H, W]``; stage ``i`` has stride ``2^i``."""
        first = self.layer1(self.conv1(x))
        second = self.layer2(first)
        outputs = (first, second, self.norm(self.layer3(second)))
        return tuple(outputs[index] for index in sorted(self.out_indices))
