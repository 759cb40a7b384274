"""A convolution with padding that keeps the size of a map; maps of one pixel need only its central tap."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def convolve_padded(maps: Tensor, weight: Tensor) -> Tensor:
    """Convolve without bias, with as much padding as keeps the size.

    A map of one pixel meets only the central tap; the others lie on the padding, and their gradients are zero. Of such
    maps double backward is not supported.

    Args:
        maps (Tensor): ``[N, M, h, w]``.
        weight (Tensor): ``[O, M, k, k]``, ``k`` odd.

    Returns:
        Tensor: ``[N, O, h, w]``.
    """
    padding = weight.shape[-1] // 2
    if padding and maps.shape[-2:] == (1, 1):
        return F.conv2d(maps, _CentralTap.apply(weight))
    return F.conv2d(maps, weight, padding=padding)


class _CentralTap(torch.autograd.Function):
    """A view of the central tap, ``[O, M, 1, 1]``, whose gradient is in the memory format of the weight.

    The gradient of an index is contiguous, so it would be copied when it is added to that of a channels_last weight.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return weight[(..., *_center(weight))]

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        weight, = ctx.saved_tensors
        whole = torch.zeros_like(weight)
        whole[(..., *_center(weight))] = grad
        return whole


def _center(weight: Tensor) -> tuple[slice, slice]:
    center = weight.shape[-1] // 2
    return (slice(center, center + 1),) * 2
