"""Activation checkpointing of a level that updates its running statistics only once per batch."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def checkpointed(compute: Callable, block: nn.Module) -> Callable:
    """Wrap a computation so that only its inputs are kept for the backward pass, which runs it again.

    Args:
        compute (Callable): Computes the outputs of ``block``.
        block (nn.Module): The level; its running statistics are updated in the forward pass only, not by recomputation.

    Returns:
        Callable: A function with the arguments and results of ``compute``.
    """
    def contexts() -> tuple[contextlib.AbstractContextManager[Any], contextlib.AbstractContextManager[Any]]:
        return contextlib.nullcontext(), RunningStatisticsUnchanged(block)

    return partial(checkpoint, compute, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


class RunningStatisticsUnchanged(contextlib.AbstractContextManager):
    """Context in which batch normalizations compute as in training, but leave their running statistics as they are.

    It may be entered more than once, as when gradients are computed twice.

    Args:
        module (nn.Module): The module with the normalizations.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def __enter__(self) -> None:
        self._norms = [
            norm for norm in self._module.modules()
            if isinstance(norm, _BatchNorm) and norm.training and norm.track_running_stats]
        self._before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in self._norms]
        for norm in self._norms:
            norm.momentum = 0.0

    def __exit__(self, *_: object) -> None:
        for norm, (momentum, count) in zip(self._norms, self._before):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
