"""MobileNetV2 for small images ("MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018)."""

from collections import OrderedDict
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmreviewkd.registry import MODELS

# Expansion, channels at full width, blocks and stride of each stage.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _conv_module(
        in_channels: int, channels: int, kernel_size: int, stride: int = 1, groups: int = 1,
        relu: bool = True) -> nn.Sequential:
    """Convolution, batch normalization and ReLU, with the names that they have in mmcv's ``ConvModule``."""
    parts = OrderedDict(
        conv=nn.Conv2d(
            in_channels, channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False),
        bn=nn.BatchNorm2d(channels))
    if relu:
        parts['activate'] = nn.ReLU(inplace=True)
    return nn.Sequential(parts)


class InvertedResidual(nn.Module):
    """A 1x1 expansion, a depthwise 3x3 convolution and a linear 1x1 projection, with a shortcut if shapes allow.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the output.
        stride (int): Stride of the 3x3 convolution.
        expansion (int): Factor of the channels between the 1x1 convolutions.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = in_channels * expansion
        self.conv = nn.Sequential(
            _conv_module(in_channels, middle, 1),
            _conv_module(middle, middle, 3, stride, groups=middle),
            _conv_module(middle, channels, 1, relu=False))
        self.with_shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, channels, H / stride, W / stride]``."""
        return x + self.conv(x) if self.with_shortcut else self.conv(x)


@MODELS.register_module()
class CIFARMobileNetV2(BaseModule):
    """MobileNetV2 for images of 32 pixels: with ReLU instead of ReLU6, and stride 1 in the second stage.

    Args:
        widen_factor (float): Width factor of all layers but the last convolution, which has 1280 channels. Defaults
            to 1.0.
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Outputs, of the seven stages (0 to 6) and the last convolution (7). Defaults to
            (7,).
        init_cfg (dict or list, optional): Initialization. Defaults to Kaiming for convolutions, 1 for norm weights.

    Raises:
        ValueError: If a stage does not exist.
    """

    def __init__(
            self,
            widen_factor: float = 1.0,
            in_channels: int = 3,
            out_indices: Sequence[int] = (7,),
            init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg or [
            dict(type='Kaiming', layer='Conv2d'), dict(type='Constant', layer='BatchNorm2d', val=1)])
        if not set(out_indices) <= set(range(8)):
            raise ValueError(f'CIFARMobileNetV2: out_indices must be among 0 to 7, but are {tuple(out_indices)}')
        self.out_indices = tuple(out_indices)
        width = int(32 * widen_factor)
        self.conv1 = _conv_module(in_channels, width, 3, stride=2)
        for stage, (expansion, channels, blocks, stride) in enumerate(_STAGES):
            previous, width = width, int(channels * widen_factor)
            self.add_module(f'layer{stage + 1}', nn.Sequential(
                InvertedResidual(previous, width, stride, expansion),
                *(InvertedResidual(width, width, 1, expansion) for _ in range(blocks - 1))))
        self.conv2 = _conv_module(width, 1280, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the stages for images ``[N, in_channels, H, W]``, of strides 2, 2, 4, 8, 8, 16, 16 and 16."""
        x = self.conv1(x)
        outputs = []
        for index, layer in enumerate((*(getattr(self, f'layer{i}') for i in range(1, 8)), self.conv2)):
            x = layer(x)
            if index in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
