"""Distillation by the Pearson correlation of features, PKD (Cao et al., NeurIPS 2022)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from .feature_pairs import paired_levels
from .standardization import standardized


def pearson_correlation_loss(
        student_features: Tensor | Sequence[Tensor], teacher_features: Tensor | Sequence[Tensor]) -> Tensor:
    """Sum over the levels of one minus the channels' mean Pearson correlation (Cao et al., Sec. 3).

    The correlation of a channel is taken over all images and pixels of the batch, so the loss ignores the mean and
    the scale of every channel. It is computed as half the mean squared difference of the channels, standardized to
    mean 0 and variance 1. A constant channel has the correlation 0, and adds 1/2.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map per level.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.

    Returns:
        Tensor: The scalar loss, in float32 for half-precision maps.

    Raises:
        ValueError: If the numbers of levels or the shapes at a level differ, or a channel has a single value.
    """
    student_features, teacher_features = paired_levels(student_features, teacher_features)
    return sum(
        F.mse_loss(standardized(s), standardized(t)) / 2 for s, t in zip(student_features, teacher_features))
