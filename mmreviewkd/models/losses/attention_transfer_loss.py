"""The registered module of attention transfer."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmreviewkd.ops import attention_transfer_loss
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import strict_keys


@MODELS.register_module()
@strict_keys
class AttentionTransferLoss(nn.Module):
    """Weighted attention transfer, see :func:`~mmreviewkd.ops.attention_transfer_loss`.

    It needs no connector: ``connector=None``.

    Args:
        loss_weight (float): Factor of the loss, 1000 in the paper of attention transfer. Defaults to 1000.0.

    Raises:
        ConfigError: If the factor is negative or not finite.
    """

    def __init__(self, loss_weight: float = 1000.0) -> None:
        super().__init__()
        self.loss_weight = number(loss_weight, 'AttentionTransferLoss: loss_weight', at_least=0)

    def forward(self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
        """Compare ``[N, C_k, h_k, w_k]`` with ``[N, O_k, H_k, W_k]`` maps; returns the weighted scalar loss."""
        return self.loss_weight * attention_transfer_loss(student_features, teacher_features)

    def extra_repr(self) -> str:
        """The settings, for ``print(module)``."""
        return f'loss_weight={self.loss_weight}'
