"""Attention transfer (Zagoruyko and Komodakis, ICLR 2017)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from .attention_based_fusion import resize_nearest
from .feature_pairs import at_least_single


def attention_transfer_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
    """Sum over the levels of the mean squared difference of spatial attention (Zagoruyko and Komodakis, Sec. 3.1).

    The attention of a map ``f`` is ``q / |q|``, where ``q`` is the mean over the channels of ``f * f``, flattened over
    the pixels. The student's ``q`` is resized to the teacher's size by nearest neighbour. The numbers of channels may
    differ. A map of one pixel always has the attention 1.

    Args:
        student_features (Sequence[Tensor]): ``[N, C_k, h_k, w_k]`` per level.
        teacher_features (Sequence[Tensor]): As many maps, ``[N, O_k, H_k, W_k]``.

    Returns:
        Tensor: The scalar loss, in float32 for half-precision maps.

    Raises:
        ValueError: If the numbers of levels differ.
    """
    if len(student_features) != len(teacher_features):
        raise ValueError(
            f'attention is compared level by level, but there are {len(student_features)} levels of the student and '
            f'{len(teacher_features)} of the teacher')
    return sum(
        F.mse_loss(_attention(s, t.shape[-2:]), _attention(t, t.shape[-2:]))
        for s, t in zip(student_features, teacher_features))


def _attention(feature: Tensor, size: tuple[int, int]) -> Tensor:
    """The attention ``[N, H W]`` of ``[N, C, h, w]``, resized to ``(H, W)``, with norm 1."""
    energy = at_least_single(feature).square().mean(1, keepdim=True)
    return F.normalize(resize_nearest(energy, size).flatten(1), dim=1)
