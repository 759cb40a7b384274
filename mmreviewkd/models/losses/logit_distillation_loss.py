"""The registered module of logit distillation."""

from torch import Tensor, nn

from mmreviewkd.ops import logit_distillation_loss
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import strict_keys


@MODELS.register_module()
@strict_keys
class LogitDistillationLoss(nn.Module):
    """Weighted distillation of logits, see :func:`~mmreviewkd.ops.logit_distillation_loss`.

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
        """Compare logits ``[N, classes]`` or ``[N, classes, H, W]``; returns the weighted scalar loss."""
        return self.loss_weight * logit_distillation_loss(student_logits, teacher_logits, self.temperature)

    def extra_repr(self) -> str:
        """The settings, for ``print(module)``."""
        return f'temperature={self.temperature}, loss_weight={self.loss_weight}'
