"""Definition of the hierarchical context loss (HCL)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from mmreviewkd.utils.compiling import is_compiling

from .fast_hierarchical_context_loss import fast_level_hcl
from .feature_pairs import at_least_single, paired_levels
from .review_level.normalization import Unnormalized


def level_hcl(student: Tensor, teacher: Tensor, pool_sizes: Sequence[int] = (4, 2, 1)) -> Tensor:
    """HCL of one level, written as its definition (paper, Sec. 3.4, Fig. 3b).

    The mean squared difference of the maps, plus that of the maps pooled to ``l x l`` for each ``l`` in ``pool_sizes``
    that is smaller than the map's height, with weights 1, 1/2, 1/4, ..., divided by the sum of the weights.

    Args:
        student (Tensor): ``[N, C, H, W]``.
        teacher (Tensor): ``[N, C, H, W]``.
        pool_sizes (Sequence[int]): Sides ``l`` of the pooled maps in pixels, in order of falling weight.
            Defaults to (4, 2, 1).

    Returns:
        Tensor: The scalar loss.
    """
    loss, weight, weight_sum = F.mse_loss(student, teacher), 1.0, 1.0
    for size in pool_sizes:
        if size >= student.shape[-2]:
            continue
        weight /= 2
        weight_sum += weight
        pooled_student, pooled_teacher = (F.adaptive_avg_pool2d(feature, size) for feature in (student, teacher))
        loss = loss + weight * F.mse_loss(pooled_student, pooled_teacher)
    return loss / weight_sum


def hierarchical_context_loss(
        student_features: Tensor | Sequence[Tensor | Unnormalized],
        teacher_features: Tensor | Sequence[Tensor],
        pool_sizes: Sequence[int] = (4, 2, 1)) -> Tensor:
    """Sum of the HCL of all levels (paper, Sec. 3.4).

    Each level has the value and the gradients of :func:`level_hcl`, computed by :func:`fast_level_hcl`, or by
    ``torch.compile`` from the definition.

    The squared difference gives a channel the weight of its variance; in
    :func:`~mmreviewkd.ops.pearson_correlation_loss` all channels of all levels have the same weight.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map per level, or maps before their
            normalization.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.
        pool_sizes (Sequence[int]): Sides of the pooled maps in pixels, in order of falling weight.
            Defaults to (4, 2, 1).

    Returns:
        Tensor: The scalar loss, in float32 for half-precision maps.

    Raises:
        ValueError: If the numbers of levels or the shapes at a level differ.
    """
    student_features, teacher_features = paired_levels(student_features, teacher_features)
    if is_compiling():
        pairs = (map(at_least_single, pair) for pair in zip(student_features, teacher_features))
        return sum(level_hcl(*pair, pool_sizes) for pair in pairs)
    return sum(fast_level_hcl(s, t, pool_sizes) for s, t in zip(student_features, teacher_features))
