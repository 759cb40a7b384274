"""The Winograd convolution F(4x4, 3x3) by compiled functions: 3x3, padding 1, on rows of channels in float32.

The transforms are those of :mod:`mmreviewkd.ops.review_level.winograd_convolution`. ``winograd.cpp`` computes some
tiles or channels at a time, so that transformed values, 36 for each tile and channel, stay in the caches.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mmreviewkd.utils.cpu import is_amd

from .library import call

LEAST_TILES, LEAST_SHARED_TILES = 28, 64
MOST_SHARED_TILES = 224
"""Most tiles that are summed before the gradient of the weight is transformed back: more would not fit the caches."""


class CacheSizes(NamedTuple):
    """Sizes that fit the caches of one kind of CPU.

    Args:
        thread_bytes (int): Bytes of the transformed tiles that one thread computes at a time.
        shared_bytes (int): Bytes of the transformed tiles that all threads compute together at a time.
        kernel_bytes (int): Most bytes of transformed kernels that are computed at once; larger ones are computed by
            groups of output channels.
        gradient_channels (tuple[int, int]): Input and output channels of which a thread computes the gradient of the
            weight at a time, multiples of 16 and of 32.
    """

    thread_bytes: int
    shared_bytes: int
    kernel_bytes: int
    gradient_channels: tuple[int, int]


# Chosen by timing single convolutions of 32 to 2048 channels: on EPYCs with AVX-512 and 1 MiB of second-level cache for
# each core, and on a Xeon with AMX and 2 MiB, whose last-level cache is larger and slower.
AMD = CacheSizes(3 * 2**19, 8 * 2**20, 20 * 2**20, (48, 32))
OTHERS = CacheSizes(2**19, 20 * 2**20, 4 * 2**20, (112, 64))


def winograd_convolution(
        rows: Tensor, weight: Tensor, bias: Tensor | None = None, adjoint: bool = False,
        out: Tensor | None = None) -> Tensor:
    """Convolve rows of channels with 3x3 kernels and padding 1.

    Args:
        rows (Tensor): ``[n, h, w, M]``.
        weight (Tensor): ``[O, M, 3, 3]``; with ``adjoint``, ``[M, O, 3, 3]``.
        bias (Tensor, optional): ``[O]``. Defaults to None.
        adjoint (bool): Whether to compute the adjoint of the convolution, which is one, too, with the taps in reverse.
            Defaults to False.
        out (Tensor, optional): ``[n, h, w, O]``, contiguous, which is overwritten. Defaults to None.

    Returns:
        Tensor: ``[n, h, w, O]``.
    """
    rows, bias = rows.contiguous(), None if bias is None else bias.contiguous()
    weight = weight if _evenly_spaced(weight) else weight.contiguous()
    out_channels, channels, *_ = weight.shape
    step_out, step_in, _, step_tap = weight.stride()
    if adjoint:
        out_channels, channels, step_out, step_in, step_tap = channels, out_channels, step_in, step_out, -step_tap
        weight = weight[..., 2:, 2:]  # begins at the last tap
    out = rows.new_empty((*rows.shape[:3], out_channels)) if out is None else out
    sizes = _cache_sizes()
    if _bytes(out_channels * channels) <= sizes.kernel_bytes:
        name, fitting = 'winograd_convolution', _fitting(channels + out_channels, sizes.thread_bytes, LEAST_TILES)
        multiple = torch.get_num_threads()  # the same number of blocks for each thread
    else:
        name, fitting = 'winograd_convolution_by_groups', _fitting(channels, sizes.shared_bytes, LEAST_SHARED_TILES)
        multiple = 1
    blocks = -(-_tiles(rows) // fitting)
    blocks = max(1, blocks + -blocks % multiple)
    block = max(1, -(-_tiles(rows) // blocks))
    call(name, (rows, weight, bias, out), (*rows.shape, out_channels, step_out, step_in, step_tap, block))
    return out


def add_weight_gradient(total: Tensor, rows: Tensor, grad: Tensor) -> Tensor:
    """Add the gradient of the weight of a convolution in place.

    Args:
        total (Tensor): ``[O, M, 3, 3]``, contiguous or channels_last.
        rows (Tensor): The input of the convolution, ``[n, h, w, M]``.
        grad (Tensor): The gradient of its output, ``[n, h, w, O]``.

    Returns:
        Tensor: ``total``.
    """
    if not _evenly_spaced(total):
        raise ValueError(f'total must be contiguous or channels_last, but is of strides {total.stride()}')
    rows, grad = rows.contiguous(), grad.contiguous()
    out, channels, *_ = total.shape
    step_out, step_in, _, step_tap = total.stride()
    sizes = _cache_sizes()
    fitting = _fitting(channels + out, sizes.shared_bytes, LEAST_SHARED_TILES)
    block = max(1, min(fitting, MOST_SHARED_TILES, _tiles(rows)))
    arguments = *rows.shape, out, step_out, step_in, step_tap, block, *sizes.gradient_channels
    call('winograd_weight_gradient', (rows, grad, total), arguments)
    return total


def _cache_sizes() -> CacheSizes:
    return AMD if is_amd() else OTHERS


def _evenly_spaced(weight: Tensor) -> bool:
    """Whether the nine taps of ``[O, M, 3, 3]`` follow one another at the same distance."""
    return weight.stride(2) == 3 * weight.stride(3)


def _tiles(rows: Tensor) -> int:
    n, h, w, _ = rows.shape
    return n * -(-h // 4) * -(-w // 4)


def _bytes(values: int) -> int:
    """Bytes of transformed values."""
    return 4 * 36 * values


def _fitting(channels: int, size: int, least: int) -> int:
    """The number of tiles whose transformed values of so many channels fit ``size`` bytes; at least ``least``."""
    return max(least, size // _bytes(channels))
