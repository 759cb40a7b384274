"""The registered module of the hierarchical context loss (HCL)."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmreviewkd.ops import hierarchical_context_loss
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import integers, number
from mmreviewkd.utils.errors import strict_keys


@MODELS.register_module()
@strict_keys
class HierarchicalContextLoss(nn.Module):
    """Weighted hierarchical context loss, see :func:`~mmreviewkd.ops.hierarchical_context_loss`.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.0.
        pool_sizes (Sequence[int]): Sides of the pooled maps in pixels. Defaults to (4, 2, 1).

    Raises:
        ConfigError: If the factor is negative or not finite, or a pool size is not a positive integer.
    """

    def __init__(self, loss_weight: float = 1.0, pool_sizes: Sequence[int] = (4, 2, 1)) -> None:
        super().__init__()
        self.loss_weight = number(loss_weight, 'HierarchicalContextLoss: loss_weight', at_least=0)
        self.pool_sizes = integers(pool_sizes, 'HierarchicalContextLoss: pool_sizes', at_least=1)

    def forward(self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
        """Compare ``[N, C_k, H_k, W_k]`` maps of the same shapes; returns the weighted scalar loss."""
        return self.loss_weight * hierarchical_context_loss(student_features, teacher_features, self.pool_sizes)

    def extra_repr(self) -> str:
        """The settings, for ``print(module)``."""
        return f'loss_weight={self.loss_weight}, pool_sizes={self.pool_sizes}'
