"""Checking a hand-written backward against finite differences in double precision."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class _Pair(torch.autograd.Function):

    @staticmethod
    def forward(ctx, forward, backward, *inputs):
        ctx.backward_of_pair = backward
        ctx.save_for_backward(*inputs)
        return forward(*inputs)

    @staticmethod
    def backward(ctx, *grads):
        return None, None, *ctx.backward_of_pair(*grads, *ctx.saved_tensors)


def assert_adjoint(forward: Callable, backward: Callable, inputs: Sequence[Tensor], fast: bool = False) -> None:
    """``backward(*output_gradients, *inputs)`` must give the gradients of ``forward(*inputs)``."""
    inputs = [t.detach().requires_grad_() for t in inputs]
    assert torch.autograd.gradcheck(lambda *args: _Pair.apply(forward, backward, *args), inputs, fast_mode=fast)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers in double precision."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
