"""MobileNetV1 ("MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017)."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmreviewkd.registry import MODELS


class DepthwiseSeparable(nn.Module):
    """A depthwise 3x3 and a 1x1 convolution; ``relu`` is called last on the output.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the output.
        stride (int): Stride of the first convolution.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` to ``[N, channels, H / stride, W / stride]``."""
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))


@MODELS.register_module()
class MobileNetV1(BaseModule):
    """MobileNetV1 of width 1, in the four stages that ReviewKD taps, of 128, 256, 512 and 1024 channels.

    Args:
        out_indices (Sequence[int]): Stages to output, of 0 to 3. Defaults to (3,).
        init_cfg (dict or list, optional): Initialization. Defaults to Kaiming for convolutions, 1 for norm weights.

    Raises:
        ValueError: If a stage does not exist.
    """

    def __init__(self, out_indices: Sequence[int] = (3,), init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg or [
            dict(type='Kaiming', layer='Conv2d'), dict(type='Constant', layer='BatchNorm2d', val=1)])
        if not set(out_indices) <= {0, 1, 2, 3}:
            raise ValueError(f'MobileNetV1: out_indices must be among 0, 1, 2 and 3, but are {tuple(out_indices)}')
        self.out_indices = tuple(out_indices)
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = self._stage((32, 64, 1), (64, 128, 2), (128, 128, 1))
        self.layer2 = self._stage((128, 256, 2), (256, 256, 1))
        self.layer3 = self._stage((256, 512, 2), *[(512, 512, 1)] * 5)
        self.layer4 = self._stage((512, 1024, 2), (1024, 1024, 1))

    @staticmethod
    def _stage(*blocks: tuple[int, int, int]) -> nn.Sequential:
        return nn.Sequential(*(DepthwiseSeparable(*block) for block in blocks))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the stages for images ``[N, 3, H, W]``; stage ``i`` has stride ``2^(i + 2)``."""
        x = self.relu(self.bn1(self.conv1(x)))
        outputs = []
        for index, layer in enumerate((self.layer1, self.layer2, self.layer3, self.layer4)):
            x = layer(x)
            if index in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
