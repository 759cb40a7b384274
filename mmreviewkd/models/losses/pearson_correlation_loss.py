"""The registered module of distillation by Pearson correlation (PKD)."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmreviewkd.ops import pearson_correlation_loss
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import strict_keys


@MODELS.register_module()
@strict_keys
class PearsonCorrelationLoss(nn.Module):
    """Weighted loss of Pearson correlation, see :func:`~mmreviewkd.ops.pearson_correlation_loss`.

    Where student and teacher have levels of the same shapes, such as detectors with an FPN, it needs no connector:
    ``connector=None``. Otherwise take ``SameLevelConnector``.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ConfigError: If the factor is negative or not finite.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = number(loss_weight, 'PearsonCorrelationLoss: loss_weight', at_least=0)

    def forward(self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
        """Compare ``[N, C_k, H_k, W_k]`` maps of the same shapes; returns the weighted scalar loss."""
        return self.loss_weight * pearson_correlation_loss(student_features, teacher_features)

    def extra_repr(self) -> str:
        """The settings, for ``print(module)``."""
        return f'loss_weight={self.loss_weight}'
