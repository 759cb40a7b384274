"""The registered module of channel-wise distillation."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmreviewkd.ops import channel_wise_divergence
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import strict_keys


@MODELS.register_module()
@strict_keys
class ChannelWiseDivergence(nn.Module):
    """Weighted channel-wise distillation (CWD), see :func:`~mmreviewkd.ops.channel_wise_divergence`.

    As ``logit_loss`` it compares maps of logits, as ``distill_loss`` the features behind a connector.

    Args:
        temperature (float): Divides the values before the softmax, 4 in the paper of CWD. Defaults to 4.0.
        loss_weight (float): Factor of the loss, 3 for logits and 50 for features in that paper. Defaults to 3.0.

    Raises:
        ConfigError: If the temperature is not positive, the factor is negative, or one of them is not finite.
    """

    def __init__(self, temperature: float = 4.0, loss_weight: float = 3.0) -> None:
        super().__init__()
        self.temperature = number(temperature, 'ChannelWiseDivergence: temperature', above=0)
        self.loss_weight = number(loss_weight, 'ChannelWiseDivergence: loss_weight', at_least=0)

    def forward(
            self, student_features: Tensor | Sequence[Tensor], teacher_features: Tensor | Sequence[Tensor]) -> Tensor:
        """Compare ``[N, C_k, H_k, W_k]`` maps of the same shapes; returns the weighted scalar loss."""
        return self.loss_weight * channel_wise_divergence(student_features, teacher_features, self.temperature)

    def extra_repr(self) -> str:
        """The settings, for ``print(module)``."""
        return f'temperature={self.temperature}, loss_weight={self.loss_weight}'
