"""A level of the review path with attention-based fusion (ABF)."""

from torch import Tensor, nn

from mmreviewkd.ops import attention_based_fusion, fusion_attention
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import flag
from mmreviewkd.utils.errors import strict_keys

from .review_block import ReviewBlock


@MODELS.register_module()
@strict_keys
class AttentionBasedFusion(ReviewBlock):
    """One level of the review path with attention-based fusion (paper, Sec. 3.3).

    Args:
        in_channels (int): Channels ``C`` of the student's feature.
        mid_channels (int): Channels ``M`` of the review path.
        out_channels (int): Channels ``O`` of the teacher's feature.
        fuse (bool): False at the coarsest level, which has no residual. Defaults to True.
        kernel_size (int): Side of the last convolution, 3 as in the paper or 1. Defaults to 3.
    """

    def __init__(
            self, in_channels: int, mid_channels: int, out_channels: int, fuse: bool = True,
            kernel_size: int = 3) -> None:
        super().__init__(in_channels, mid_channels, out_channels, kernel_size)
        flag(fuse, f'{type(self).__name__}: fuse')
        self.att_conv = nn.Sequential(nn.Conv2d(2 * mid_channels, 2, 1), nn.Sigmoid()) if fuse else None
        self.initialize_convolutions()

    def fuse(self, feature: Tensor, residual: Tensor | None) -> Tensor:
        """Fuse ``[N, M, h, w]`` with ``[N, M, h', w']`` to ``[N, M, h, w]``; without attention, return the first."""
        if self.att_conv is None:
            return feature
        return attention_based_fusion(feature, residual, self.att_conv[0].weight, self.att_conv[0].bias)

    def attention(self, feature: Tensor, residual: Tensor | None) -> Tensor | None:
        """The attention maps ``[N, 2, h, w]`` with which :meth:`forward` fuses; None at a level without attention.

        Args:
            feature (Tensor): The student's feature, ``[N, C, h, w]``.
            residual (Tensor, optional): The fused map of the next coarser level, ``[N, M, h', w']``.
        """
        if self.att_conv is None:
            return None
        return fusion_attention(self.conv1(feature), residual, self.att_conv[0].weight, self.att_conv[0].bias)
