"""Plain L2 between feature maps, the baseline that compares same levels (FitNets, ICLR 2015)."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import strict_keys

from .hierarchical_context_loss import hierarchical_context_loss


def feature_l2_loss(
        student_features: Tensor | Sequence[Tensor], teacher_features: Tensor | Sequence[Tensor]) -> Tensor:
    """Mean squared difference of the maps of each level, summed over the levels.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map a level.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.

    Returns:
        Tensor: The scalar loss.

    Raises:
        ValueError: If the numbers of levels or the shapes at a level differ.
    """
    return hierarchical_context_loss(student_features, teacher_features, pool_sizes=())


@MODELS.register_module()
@strict_keys
class FeatureL2Loss(nn.Module):
    """See :func:`feature_l2_loss`.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.0.

    Raises:
        ConfigError: If the factor is negative or not finite.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = number(loss_weight, 'FeatureL2Loss: loss_weight', at_least=0)

    def forward(self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
        """The weighted loss of ``[N, C_k, H_k, W_k]`` maps."""
        return self.loss_weight * feature_l2_loss(student_features, teacher_features)

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}'
