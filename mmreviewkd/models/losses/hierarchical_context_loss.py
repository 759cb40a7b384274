"""The hierarchical context loss (HCL) of Knowledge Review."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import ConfigError, strict_keys


def hierarchical_context_loss(
        student_features: Tensor | Sequence[Tensor],
        teacher_features: Tensor | Sequence[Tensor],
        pool_sizes: Sequence[int] = (4, 2, 1)) -> Tensor:
    """Distance of feature maps at several scales of context, summed over the levels (paper, Sec. 3.4).

    At each level the mean squared difference of the maps is joined by that of the maps pooled to ``l x l`` for each
    ``l`` of ``pool_sizes`` that is smaller than the map's height, with weights 1, 1/2, 1/4, ... that are normalized to
    a sum of 1.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map a level.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.
        pool_sizes (Sequence[int]): The sides of the pooled maps, in the order of falling weight.
            Defaults to (4, 2, 1).

    Returns:
        Tensor: The scalar loss.

    Raises:
        ValueError: If the numbers of levels or the shapes at a level differ.
    """
    student_features, teacher_features = paired_levels(student_features, teacher_features)
    return sum(_level_loss(s, t, pool_sizes) for s, t in zip(student_features, teacher_features))


def _level_loss(student: Tensor, teacher: Tensor, pool_sizes: Sequence[int]) -> Tensor:
    # Pooling is linear, so every scale can be taken from one difference.
    difference = student - teacher
    loss, weight, total = difference.square().mean(), 1.0, 1.0
    for size in pool_sizes:
        if size < difference.shape[-2]:
            weight /= 2
            total += weight
            loss = loss + weight * F.adaptive_avg_pool2d(difference, size).square().mean()
    return loss / total


def paired_levels(
        student_features: Tensor | Sequence[Tensor],
        teacher_features: Tensor | Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Check that two sets of maps can be compared level by level, in single precision or better.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map a level.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.

    Returns:
        tuple: Both as tuples; half-precision maps are raised to float32.

    Raises:
        ValueError: If the numbers of levels or the shapes at a level differ.
    """
    student, teacher = (
        (features,) if isinstance(features, Tensor) else tuple(features)
        for features in (student_features, teacher_features))
    student_shapes, teacher_shapes = [tuple(f.shape) for f in student], [tuple(f.shape) for f in teacher]
    if student_shapes != teacher_shapes:
        raise ValueError(
            f'student and teacher features must have the same shapes to be compared, but are {student_shapes} and '
            f'{teacher_shapes}; a connector brings them together')
    return tuple(map(_at_least_single, student)), tuple(map(_at_least_single, teacher))


def _at_least_single(feature: Tensor) -> Tensor:
    return feature.float() if feature.dtype.itemsize < 4 else feature


@MODELS.register_module()
@strict_keys
class HierarchicalContextLoss(nn.Module):
    """See :func:`hierarchical_context_loss`.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.0.
        pool_sizes (Sequence[int]): The sides of the pooled maps. Defaults to (4, 2, 1).

    Raises:
        ConfigError: If a pool size is not a positive integer.
    """

    def __init__(self, loss_weight: float = 1.0, pool_sizes: Sequence[int] = (4, 2, 1)) -> None:
        super().__init__()
        if not all(isinstance(size, int) and size > 0 for size in pool_sizes):
            raise ConfigError(f'HierarchicalContextLoss: pool_sizes must be positive integers, but is {pool_sizes!r}')
        self.loss_weight = loss_weight
        self.pool_sizes = tuple(pool_sizes)

    def forward(self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
        """The weighted loss of ``[N, C_k, H_k, W_k]`` maps."""
        return self.loss_weight * hierarchical_context_loss(student_features, teacher_features, self.pool_sizes)

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}, pool_sizes={self.pool_sizes}'
