"""Distillation by the Pearson correlation of features, PKD (Cao et al., NeurIPS 2022)."""

from collections.abc import Sequence

from torch import Tensor

from mmreviewkd.utils.compiling import is_compiling

from .fast_pearson_correlation_loss import fast_level_pearson
from .feature_pairs import at_least_single, paired_levels
from .review_level.normalization import Unnormalized
from .standardization import standardized


def level_pearson(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the mean Pearson correlation of the channels of one level, written as its definition.

    Args:
        student (Tensor): ``[N, C, H, W]``.
        teacher (Tensor): ``[N, C, H, W]``.

    Returns:
        Tensor: The scalar loss.

    Raises:
        ValueError: If a channel has a single value.
    """
    return (standardized(student) - standardized(teacher)).square().mean() / 2


def pearson_correlation_loss(
        student_features: Tensor | Sequence[Tensor | Unnormalized],
        teacher_features: Tensor | Sequence[Tensor]) -> Tensor:
    """Sum over the levels of one minus the channels' mean Pearson correlation (Cao et al., Sec. 3).

    The correlation of a channel is taken over all images and pixels of the batch, so the loss ignores the mean and
    the scale of every channel. It is computed as half the mean squared difference of the channels, standardized to
    mean 0 and variance 1. A constant channel has the correlation 0, and adds 1/2.

    Each level has the value and the gradients of :func:`level_pearson`, computed by :func:`fast_level_pearson` unless
    the teacher has gradients, or by ``torch.compile`` from the definition.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map per level, or maps before their
            normalization.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.

    Returns:
        Tensor: The scalar loss, in float32 for half-precision maps.

    Raises:
        ValueError: If the numbers of levels or the shapes at a level differ, or a channel has a single value.
    """
    student_features, teacher_features = paired_levels(student_features, teacher_features)
    return sum(map(_level, student_features, teacher_features))


def _level(student: Tensor | Unnormalized, teacher: Tensor) -> Tensor:
    if not teacher.requires_grad and not is_compiling():
        return fast_level_pearson(student, teacher)
    student = student.normalized() if isinstance(student, Unnormalized) else student
    return level_pearson(at_least_single(student), at_least_single(teacher))
