"""Attention transfer between feature maps (Zagoruyko and Komodakis, ICLR 2017)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import strict_keys

from .hierarchical_context_loss import at_least_single


def attention_transfer_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of where student and teacher are active, summed over the levels (Sec. 3.1 there).

    The attention of a map is the mean of its squared channels, as a vector over the pixels, divided by its norm. The
    student's map is resized to the teacher's by nearest neighbours; their channels may differ. Maps of one pixel all
    have the same attention.

    Args:
        student_features (Sequence[Tensor]): ``[N, C_k, h_k, w_k]`` each.
        teacher_features (Sequence[Tensor]): As many, ``[N, O_k, H_k, W_k]``.

    Returns:
        Tensor: The scalar loss.

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
    """``[N, C, h, w]`` to ``[N, H W]``, of norm 1."""
    energy = at_least_single(feature).square().mean(1, keepdim=True)
    energy = energy if energy.shape[-2:] == tuple(size) else F.interpolate(energy, size=size, mode='nearest')
    return F.normalize(energy.flatten(1), dim=1)


@MODELS.register_module()
@strict_keys
class AttentionTransferLoss(nn.Module):
    """See :func:`attention_transfer_loss`. It needs no connector: ``connector=None``.

    Args:
        loss_weight (float): Factor of the loss, 1000 in that paper. Defaults to 1000.0.

    Raises:
        ConfigError: If the factor is negative or not finite.
    """

    def __init__(self, loss_weight: float = 1000.0) -> None:
        super().__init__()
        self.loss_weight = number(loss_weight, 'AttentionTransferLoss: loss_weight', at_least=0)

    def forward(self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
        """The weighted loss of ``[N, C_k, h_k, w_k]`` and ``[N, O_k, H_k, W_k]`` maps."""
        return self.loss_weight * attention_transfer_loss(student_features, teacher_features)

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}'
