"""VGGs for small images, with batch norm and without the hidden linear layers of the original."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmreviewkd.registry import MODELS


@MODELS.register_module()
class CIFARVGG(BaseModule):
    """A VGG of five stages, for images of 32 pixels; the last two stages have the same stride.

    The last module of a stage is its last ReLU, so ``backbone.layer2[-1]:input`` taps the feature before it.

    Args:
        depth (int): Number of layers, ``5 n + 3`` for ``n`` convolutions in each stage.
        in_channels (int): Channels of the images. Defaults to 3.
        out_indices (Sequence[int]): Stages to output, of 0 to 4. Defaults to (4,).
        init_cfg (dict or list, optional): Initialization. Defaults to Kaiming for convolutions, 1 for norm weights.

    Raises:
        ValueError: If the depth is not ``5 n + 3``, or a stage does not exist.
    """

    def __init__(
            self,
            depth: int,
            in_channels: int = 3,
            out_indices: Sequence[int] = (4,),
            init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg or [
            dict(type='Kaiming', layer='Conv2d'), dict(type='Constant', layer='BatchNorm2d', val=1)])
        convolutions, rest = divmod(depth - 3, 5)
        if rest or convolutions < 1:
            raise ValueError(f'CIFARVGG: depth must be 5n + 3 (8, 13, ...), but is {depth}')
        if not set(out_indices) <= set(range(5)):
            raise ValueError(f'CIFARVGG: out_indices must be among 0 to 4, but are {tuple(out_indices)}')
        self.out_indices = tuple(out_indices)
        for stage, width in enumerate((64, 128, 256, 512, 512)):
            layers = []
            for _ in range(convolutions):
                layers += [
                    nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                in_channels = width
            self.add_module(f'layer{stage + 1}', nn.Sequential(*layers))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the stages for images ``[N, in_channels, H, W]``, of strides 1, 2, 4, 8 and 8."""
        outputs = []
        for index, layer in enumerate((self.layer1, self.layer2, self.layer3, self.layer4, self.layer5)):
            x = layer(F.max_pool2d(x, 2) if index in (1, 2, 3) else x)
            if index in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
