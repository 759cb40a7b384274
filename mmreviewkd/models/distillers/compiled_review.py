"""Connector and distillation loss as one graph of ``torch.compile``."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmreviewkd.models.connectors.base_connector import connector_targets


def may_be_compiled(connector: nn.Module) -> bool:
    """Whether a connector is to be computed by a compiled graph where compiling is asked for.

    A graph knows the modules of a connector only. The fast way of a review path keeps a fraction of their memory, and
    activation checkpointing of its levels cannot be traced, so both are left alone.

    Args:
        connector (nn.Module): The connector.
    """
    return getattr(connector, 'implementation', 'plain') == 'plain' and not getattr(connector, 'with_cp', False)


class CompiledReview:
    """Computes the distillation loss from the features in one graph, which is compiled when it is first called.

    Args:
        options (dict): Options of ``torch.compile``.
    """

    def __init__(self, options: dict) -> None:
        self.options = options
        self._function: Callable[..., Tensor] | None = None

    def __call__(
            self, connector: nn.Module, loss: nn.Module, features: Sequence[Tensor],
            targets: Sequence[Tensor]) -> Tensor:
        """Compute the distillation loss.

        Args:
            connector (nn.Module): The connector.
            loss (nn.Module): The loss between its outputs and the teacher's features.
            features (Sequence[Tensor]): The student's features, ``[N, C_k, h_k, w_k]`` per level.
            targets (Sequence[Tensor]): The teacher's features, ``[N, O_k, H_k, W_k]`` per level.

        Returns:
            Tensor: The scalar loss.
        """
        if self._function is None:
            self._function = torch.compile(_review, **self.options)
        return self._function(connector, loss, features, targets)

    def __getstate__(self) -> dict:
        return dict(options=self.options, _function=None)


def _review(connector: nn.Module, loss: nn.Module, features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    outputs = connector(features, [target.shape[-2:] for target in targets])
    return loss(outputs, connector_targets(connector, targets))
