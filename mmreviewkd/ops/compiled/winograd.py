"""The Winograd convolution F(4x4, 3x3) by compiled functions: 3x3, padding 1, on rows of channels in float32.

The transforms are those of :mod:`mmreviewkd.ops.review_level.winograd_convolution`. ``winograd.cpp`` computes a block
of tiles at a time, so that its transformed tiles and products never leave the caches.
"""

import torch
from torch import Tensor

from .library import call

VECTOR_CHANNELS = 16
"""Channels of a vector of the widest CPUs."""
# Transformed tiles and products that are computed at a time: about the second-level cache of a core, and, for the
# gradient of the kernels, which all threads compute together and which reads and writes all kernels once per block, a
# part of the last-level cache.
BLOCK_BYTES, GRADIENT_BLOCK_BYTES = 3 * 2**19, 4 * 2**20
LEAST_BLOCK, LEAST_GRADIENT_BLOCK = 28, 64


def winograd_kernels(weight: Tensor, adjoint: bool = False) -> Tensor:
    """Transform the weight of a convolution, ``G g G^T``.

    Args:
        weight (Tensor): ``[O, M, 3, 3]``.
        adjoint (bool): Whether the kernels are those of the adjoint, a convolution from ``O`` to ``M`` channels with
            the taps in reverse. Defaults to False.

    Returns:
        Tensor: The kernels as ``winograd.cpp`` expects them, ``[36, K]``.
    """
    weight = weight.contiguous()
    (out, channels), steps = weight.shape[:2], (weight.stride(0), weight.stride(1))
    if adjoint:
        out, channels, steps = channels, out, steps[::-1]
    kernels = weight.new_empty((36, channels * _padded(out)))
    call('winograd_kernels', (weight, kernels), (out, channels, *steps, adjoint))
    return kernels


def winograd_convolution(rows: Tensor, kernels: Tensor, channels: int, bias: Tensor | None = None) -> Tensor:
    """Convolve.

    Args:
        rows (Tensor): ``[n, h, w, M]``.
        kernels (Tensor): The result of :func:`winograd_kernels`.
        channels (int): ``O``.
        bias (Tensor, optional): ``[O]``. Defaults to None.

    Returns:
        Tensor: ``[n, h, w, O]``.
    """
    rows = rows.contiguous()
    output = rows.new_empty((*rows.shape[:3], channels))
    tiles, block = _tiles(rows), _block(rows, channels, BLOCK_BYTES, LEAST_BLOCK)
    blocks = -(-tiles // block)
    blocks = max(1, blocks + -blocks % torch.get_num_threads())  # the same number for each thread
    call('winograd_convolution', (rows, kernels, bias, output), (*rows.shape, channels, max(1, -(-tiles // blocks))))
    return output


class WeightGradient:
    """The gradient of the weight of a convolution, summed over batches.

    Args:
        weight (Tensor): ``[O, M, 3, 3]``.
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight
        self._kernels: Tensor | None = None

    def add(self, rows: Tensor, grad: Tensor) -> None:
        """Add the gradient for ``rows`` ``[n, h, w, M]`` and the gradient of the output, ``[n, h, w, O]``."""
        rows, grad = rows.contiguous(), grad.contiguous()
        out, channels = self._weight.shape[:2]
        if self._kernels is None:
            self._kernels = self._weight.new_zeros((36, channels * _padded(out)))
        block = min(_block(rows, out, GRADIENT_BLOCK_BYTES, LEAST_GRADIENT_BLOCK), max(1, _tiles(rows)))
        call('winograd_kernel_gradients', (rows, grad, self._kernels), (*rows.shape, out, block))

    def total(self) -> Tensor:
        """The sum, ``[O, M, 3, 3]``."""
        total = torch.zeros_like(self._weight, memory_format=torch.contiguous_format)
        if self._kernels is not None:
            call('winograd_kernels_adjoint', (self._kernels, total), self._weight.shape[:2])
        return total


def _padded(channels: int) -> int:
    """Channels in whole vectors of the widest CPUs; narrower vectors leave the last of them unused."""
    return channels + -channels % VECTOR_CHANNELS


def _tiles(rows: Tensor) -> int:
    n, h, w, _ = rows.shape
    return n * -(-h // 4) * -(-w // 4)


def _block(rows: Tensor, channels: int, size: int, least: int) -> int:
    """Tiles whose transformed values, of input and output, fit ``size`` bytes; at least ``least``."""
    return max(least, size // (36 * rows.element_size() * (rows.shape[3] + channels)))
