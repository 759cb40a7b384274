"""Adapter for feature maps whose channels are the last dimension, as in many transformers."""

from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import TapError, strict_keys


@MODELS.register_module()
@strict_keys
class ChannelsLastToMap(nn.Module):
    """Permute ``[N, H, W, C]``, the layout of torchvision's and timm's Swin Transformers, to ``[N, C, H, W]``."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, value: Tensor, image_size: tuple[int, int] | None) -> Tensor:
        """Permute ``[N, H, W, C]`` to ``[N, C, H, W]``, without copying.

        Args:
            value (Tensor): The value at the tap, ``[N, H, W, C]``.
            image_size (tuple[int, int], optional): Unused; part of the interface of adapters.

        Returns:
            Tensor: ``[N, C, H, W]``.

        Raises:
            TapError: If the value does not have four dimensions.
        """
        if not isinstance(value, Tensor) or value.dim() != 4:
            found = f'a tensor {tuple(value.shape)}' if isinstance(value, Tensor) else f'a {type(value).__name__}'
            raise TapError(f'gives no map [N, H, W, C] for ChannelsLastToMap, but {found}')
        return value.permute(0, 3, 1, 2)
