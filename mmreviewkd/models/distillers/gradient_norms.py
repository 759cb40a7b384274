"""How hard each loss pulls at the student: norms of the gradients that losses give to the same tensors."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def gradient_norms(losses: Mapping[str, Tensor], tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """Euclidean norms of the gradients of several losses with respect to each of several tensors.

    Of a distiller, ``losses`` are the student's own and the distillation's, and ``tensors`` the student's tapped
    features or its parameters. The norm over all tensors is the norm of a result. The graph is kept, so a backward
    pass can follow; no ``.grad`` changes, no hook of DDP runs, and the host does not wait for the device.

    Args:
        losses (Mapping[str, Tensor]): The scalar losses, by name.
        tensors (Sequence[Tensor]): Tensors of any shapes that require gradients.

    Returns:
        dict[str, Tensor]: For each loss the norms ``[len(tensors)]`` in float32, on the first tensor's device; 0 where
        a loss does not depend on a tensor.

    Raises:
        ValueError: If there are no tensors, or one requires no gradient.
    """
    if not tensors or not all(tensor.requires_grad for tensor in tensors):
        raise ValueError('gradient_norms needs tensors that require gradients')
    return {name: _norms(loss, tensors) for name, loss in losses.items()}


def _norms(loss: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    gradients = [None] * len(tensors)
    if loss.requires_grad:
        gradients = torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True)
    zero = tensors[0].new_zeros((), dtype=torch.float32)
    norms = [zero if gradient is None else torch.linalg.vector_norm(gradient, dtype=torch.float32)
             for gradient in gradients]
    return torch.stack([norm.to(zero.device) for norm in norms])
