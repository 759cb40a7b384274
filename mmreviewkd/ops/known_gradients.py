"""A scalar whose gradients are computed together with it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def gradients_wanted(inputs: Sequence[Tensor]) -> bool:
    """Whether gradients are enabled and one of the tensors requires them."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)


def with_gradients(scalar: Tensor, inputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> Tensor:
    """Attach gradients that are already computed to a scalar; the backward pass needs nothing else.

    The gradient of a bfloat16 input is kept in bfloat16, in which it is returned; that of a float16 input is kept as it
    is, as it may be too small for float16 before a gradient scaler's factor. Double backward is not supported.

    Args:
        scalar (Tensor): The scalar, computed without autograd.
        inputs (Sequence[Tensor]): The tensors that it was computed from, of any shapes.
        gradients (Sequence[Tensor, optional]): Its gradient with respect to each of ``inputs``, of the same shape, or
            None where it is not needed. May have a higher precision than the input.

    Returns:
        Tensor: The scalar.
    """
    return _KnownGradients.apply(scalar, gradients, *inputs)


class _KnownGradients(torch.autograd.Function):

    @staticmethod
    def forward(ctx: FunctionCtx, scalar: Tensor, gradients: Sequence[Tensor | None], *inputs: Tensor) -> Tensor:
        ctx.dtypes = [tensor.dtype for tensor in inputs]
        ctx.save_for_backward(*(
            gradient.bfloat16() if gradient is not None and dtype == torch.bfloat16 else gradient
            for gradient, dtype in zip(gradients, ctx.dtypes)))
        return scalar.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        kept = zip(ctx.saved_tensors, ctx.dtypes, ctx.needs_input_grad[2:])
        # Large new memory takes longer to get than to fill, so what is not needed again is overwritten.
        multiplied = Tensor.mul if _graph_is_kept() else Tensor.mul_
        return None, None, *(
            multiplied(gradient, grad).to(dtype) if needed else None for gradient, dtype, needed in kept)


def _graph_is_kept() -> bool:
    """Whether the running backward pass keeps its graph for another one (``retain_graph=True``), or may do so."""
    known = getattr(torch._C._autograd, '_get_current_graph_task_keep_graph', None)
    return known is None or known()
