"""Fusion by addition, which shows what the attention of ABF is worth."""

from torch import Tensor

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import strict_keys

from .attention_based_fusion import AttentionBasedFusion, resize_nearest


@MODELS.register_module()
@strict_keys
class AdditionFusion(AttentionBasedFusion):
    """A level of the review path that adds what flows in: the residual framework without ABF (paper, Sec. 3.2).

    Args:
        in_channels (int): Channels ``C`` of the student's feature.
        mid_channels (int): Channels ``M`` of the review path.
        out_channels (int): Channels ``O`` of the teacher's feature.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, mid_channels, out_channels, fuse=False)

    def fuse(self, feature: Tensor, residual: Tensor) -> Tensor:
        """The sum ``[N, M, h, w]`` of the level's own map ``[N, M, h, w]`` and what flows in, ``[N, M, h', w']``."""
        return feature + resize_nearest(residual, feature.shape[-2:])
