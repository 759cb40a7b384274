"""Compare what a connector makes of the student's features with the teacher's."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.modules import module as module_state

from mmreviewkd.models.connectors import ReviewConnector
from mmreviewkd.models.connectors.base_connector import connector_targets
from mmreviewkd.models.losses import FeatureL2Loss, HierarchicalContextLoss, PearsonCorrelationLoss
from mmreviewkd.ops.review_level.normalization import Unnormalized

# Losses that normalize the connector's outputs themselves.
_NORMALIZING = HierarchicalContextLoss, FeatureL2Loss, PearsonCorrelationLoss


def distillation_loss(
        connector: nn.Module, loss: nn.Module, features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """``loss(connector(features), targets)``, with the last normalization of the connector in the loss where it can be.

    Args:
        connector (nn.Module): The connector.
        loss (nn.Module): The distillation loss.
        features (Sequence[Tensor]): The student's features, ``[N, C_k, h_k, w_k]`` per level.
        targets (Sequence[Tensor]): The teacher's features, ``[N, O_k, H_k, W_k]`` per level, without gradients.

    Returns:
        Tensor: The scalar loss.
    """
    return loss(*compared_levels(connector, loss, features, targets))


def compared_levels(
        connector: nn.Module | None, loss: nn.Module, features: Sequence[Tensor], targets: Sequence[Tensor]
) -> tuple[Sequence[Tensor | Unnormalized], Sequence[Tensor]]:
    """Compute what a distillation loss compares.

    Args:
        connector (nn.Module, optional): The connector; None compares the features themselves.
        loss (nn.Module): The distillation loss.
        features (Sequence[Tensor]): The student's features, ``[N, C_k, h_k, w_k]`` per level.
        targets (Sequence[Tensor]): The teacher's features, ``[N, O_k, H_k, W_k]`` per level, without gradients.

    Returns:
        tuple: What the student gives, one per output of the connector, with the last normalization undone where the
        loss computes it, and the teacher's feature for each.
    """
    if connector is None:
        return features, targets
    sizes = [target.shape[-2:] for target in targets]
    together = type(connector) is ReviewConnector and type(loss) in _NORMALIZING and not _observed(connector, loss)
    outputs = connector.levels(features, sizes) if together else connector(features, sizes)
    return outputs, connector_targets(connector, targets)


def _observed(*modules: nn.Module) -> bool:
    """Whether something sees or replaces what the modules return: hooks, or the compiler."""
    kinds = [f'_{name}_hooks' for name in ('forward', 'forward_pre', 'backward', 'backward_pre')]
    return any(getattr(module_state, f'_global{kind}') for kind in kinds) or any(
        getattr(module, kind) for module in modules for kind in kinds) or any(
        module._compiled_call_impl is not None for module in modules)
