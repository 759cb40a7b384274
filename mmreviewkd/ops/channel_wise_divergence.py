"""Channel-wise distillation (Shu et al., ICCV 2021)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from .feature_pairs import at_least_single, paired_levels


def channel_wise_divergence(
        student_features: Tensor | Sequence[Tensor], teacher_features: Tensor | Sequence[Tensor],
        temperature: float = 4.0) -> Tensor:
    """Sum over the levels of the divergence between the spatial distributions of each channel (Shu et al., Sec. 3.2).

    ``T^2 * KL(softmax(teacher / T) || softmax(student / T))`` with the softmax over the pixels of a channel, as a mean
    over images and channels. For maps of logits, a channel is a class.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map per level.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.
        temperature (float): ``T``, by which the values are divided before the softmax. Defaults to 4.0.

    Returns:
        Tensor: The scalar loss, in float32 for half-precision maps.

    Raises:
        ValueError: If the numbers of levels or the shapes at a level differ, or a feature is no map.
    """
    student_features, teacher_features = paired_levels(student_features, teacher_features)
    shapes = [tuple(feature.shape) for feature in student_features]
    if any(len(shape) != 4 for shape in shapes):
        raise ValueError(f'channels are compared as distributions over pixels, so maps [N, C, H, W] are needed, but '
                         f'the features are {shapes}')
    return sum(_level(s, t, temperature) for s, t in zip(student_features, teacher_features))


def _level(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    log_p, log_q = (
        F.log_softmax(at_least_single(feature).flatten(2) / temperature, dim=2) for feature in (teacher, student))
    channels = student.shape[0] * student.shape[1]
    return F.kl_div(log_q, log_p, reduction='sum', log_target=True) / channels * temperature**2
