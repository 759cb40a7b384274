"""Mean squared difference of feature maps (FitNets, ICLR 2015)."""

from collections.abc import Sequence

from torch import Tensor

from .hierarchical_context_loss import hierarchical_context_loss
from .review_level.normalization import Unnormalized


def feature_l2_loss(
        student_features: Tensor | Sequence[Tensor | Unnormalized],
        teacher_features: Tensor | Sequence[Tensor]) -> Tensor:
    """Sum over the levels of the mean squared difference of the maps, which is HCL without pooled maps.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map per level, or maps before their
            normalization.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.

    Returns:
        Tensor: The scalar loss, in float32 for half-precision maps.

    Raises:
        ValueError: If the numbers of levels or the shapes at a level differ.
    """
    return hierarchical_context_loss(student_features, teacher_features, pool_sizes=())
