"""Checks and casts of losses that compare feature maps level by level."""

from collections.abc import Sequence

from torch import Tensor

from .review_level.normalization import Unnormalized


def paired_levels(
        student_features: Tensor | Sequence[Tensor | Unnormalized], teacher_features: Tensor | Sequence[Tensor]
) -> tuple[tuple[Tensor | Unnormalized, ...], tuple[Tensor, ...]]:
    """Check that two sets of maps have the same shapes.

    Half precision is cast by the loss of each level instead, so that only copies of one level at a time take memory.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map per level, or maps before their
            normalization.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.

    Returns:
        tuple[tuple, tuple]: The student's and the teacher's maps.

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
            f'{teacher_shapes}; a connector maps the student\'s features to the teacher\'s shapes')
    return student, teacher


def at_least_single(feature: Tensor | Unnormalized) -> Tensor | Unnormalized:
    """Cast a half-precision tensor to float32; return any other as it is."""
    return feature.float() if isinstance(feature, Tensor) and feature.dtype.itemsize < 4 else feature
