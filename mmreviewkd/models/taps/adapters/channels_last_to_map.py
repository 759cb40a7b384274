"""Maps whose channels are the last dimension, as many transformers keep them."""

from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import TapError, strict_keys


@MODELS.register_module()
@strict_keys
class ChannelsLastToMap(nn.Module):
    """Turn ``[N, H, W, C]``, such as torchvision's and timm's Swin Transformers give, to ``[N, C, H, W]``."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, value: Tensor, image_size: tuple[int, int] | None) -> Tensor:
        """``[N, H, W, C]`` to ``[N, C, H, W]``; nothing is copied.

        Args:
            value (Tensor): What passed the tap.
            image_size (tuple[int, int], optional): Not looked at; every adapter is given it.

        Raises:
            TapError: If it has not four dimensions.
        """
        if not isinstance(value, Tensor) or value.dim() != 4:
            found = tuple(value.shape) if isinstance(value, Tensor) else f'of type {type(value).__name__}'
            raise TapError(f'gives no map [N, H, W, C] for ChannelsLastToMap, but what passes is {found}')
        return value.permute(0, 3, 1, 2)
