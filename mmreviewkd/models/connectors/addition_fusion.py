"""A level of the review path that fuses by addition, for the ablation of ABF."""

from torch import Tensor

from mmreviewkd.ops import resize_nearest
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import strict_keys

from .review_block import ReviewBlock


@MODELS.register_module()
@strict_keys
class AdditionFusion(ReviewBlock):
    """One level of the review path that adds the coarser residual instead of ABF (paper, Sec. 3.2).

    Args:
        in_channels (int): Channels ``C`` of the student's feature.
        mid_channels (int): Channels ``M`` of the review path.
        out_channels (int): Channels ``O`` of the teacher's feature.
        kernel_size (int): Side of the last convolution, 3 as in the paper or 1. Defaults to 3.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__(in_channels, mid_channels, out_channels, kernel_size)
        self.initialize_convolutions()

    def fuse(self, feature: Tensor, residual: Tensor) -> Tensor:
        """Add ``[N, M, h', w']``, resized by nearest neighbour, to ``[N, M, h, w]``."""
        return feature + resize_nearest(residual, feature.shape[-2:])
