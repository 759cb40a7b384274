"""Activation checkpointing of a level that updates its running statistics only once per batch."""

import contextlib
from collections.abc import Callable, Iterator
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
        return contextlib.nullcontext(), _running_statistics_unchanged(block)

    return partial(checkpoint, compute, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


@contextlib.contextmanager
def _running_statistics_unchanged(block: nn.Module) -> Iterator[None]:
    norms = [
        norm for norm in block.modules()
        if isinstance(norm, _BatchNorm) and norm.training and norm.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
