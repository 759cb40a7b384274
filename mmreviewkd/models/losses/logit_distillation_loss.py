"""The classical distillation of logits (Hinton et al., 2015)."""

import torch.nn.functional as F
from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import strict_keys


def logit_distillation_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 4.0) -> Tensor:
    """Kullback-Leibler divergence of the softened class distributions, times the squared temperature.

    Args:
        student_logits (Tensor): ``[N, classes]``.
        teacher_logits (Tensor): ``[N, classes]``.
        temperature (float): Divides the logits before the softmax. Defaults to 4.0.

    Returns:
        Tensor: The scalar loss, a mean over the batch.

    Raises:
        ValueError: If the shapes differ.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f'student and teacher logits must have the same shape, but are {tuple(student_logits.shape)} and '
            f'{tuple(teacher_logits.shape)}')
    student = F.log_softmax(student_logits.float() / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=1)
    return F.kl_div(student, teacher, reduction='batchmean', log_target=True) * temperature**2


@MODELS.register_module()
@strict_keys
class LogitDistillationLoss(nn.Module):
    """See :func:`logit_distillation_loss`.

    Args:
        temperature (float): Divides the logits before the softmax. Defaults to 4.0.
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ConfigError: If the temperature is not positive, the factor is negative, or one of them is not finite.
    """

    def __init__(self, temperature: float = 4.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.temperature = number(temperature, 'LogitDistillationLoss: temperature', above=0)
        self.loss_weight = number(loss_weight, 'LogitDistillationLoss: loss_weight', at_least=0)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """The weighted loss of ``[N, classes]`` logits."""
        return self.loss_weight * logit_distillation_loss(student_logits, teacher_logits, self.temperature)

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}, loss_weight={self.loss_weight}'
