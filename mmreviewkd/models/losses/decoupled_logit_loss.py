"""The registered module of decoupled knowledge distillation (DKD)."""

from torch import Tensor, nn

from mmreviewkd.ops import decoupled_logit_loss
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import strict_keys


@MODELS.register_module()
@strict_keys
class DecoupledLogitLoss(nn.Module):
    """Weighted decoupled distillation of logits, see :func:`~mmreviewkd.ops.decoupled_logit_loss`.

    Args:
        alpha (float): Factor of the target class's part. Defaults to 1.0.
        beta (float): Factor of the other classes' part. Defaults to 8.0.
        temperature (float): Divides the logits before the softmax. Defaults to 4.0.
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ConfigError: If the temperature is not positive, a factor is negative, or one of them is not finite.
    """

    def __init__(
            self, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.alpha = number(alpha, 'DecoupledLogitLoss: alpha', at_least=0)
        self.beta = number(beta, 'DecoupledLogitLoss: beta', at_least=0)
        self.temperature = number(temperature, 'DecoupledLogitLoss: temperature', above=0)
        self.loss_weight = number(loss_weight, 'DecoupledLogitLoss: loss_weight', at_least=0)

    def forward(self, student_logits: Tensor, teacher_logits: Tensor, targets: Tensor) -> Tensor:
        """Compare logits ``[N, classes]``; ``targets`` are classes ``[N]`` or scores ``[N, classes]``.

        A distiller takes the targets from the classifier's data samples. Returns the weighted scalar loss.
        """
        return self.loss_weight * decoupled_logit_loss(
            student_logits, teacher_logits, targets, self.alpha, self.beta, self.temperature)

    def extra_repr(self) -> str:
        """The settings, for ``print(module)``."""
        return (f'alpha={self.alpha}, beta={self.beta}, temperature={self.temperature}, '
                f'loss_weight={self.loss_weight}')
