"""Statistics of the channels of a map, and its comparison with another map, by compiled functions."""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .library import call, is_compiled

CHUNK = 128
"""Pixels of which a channel's moments are computed in float32, before they are combined in float64."""


LEAST_PIXELS = 8
"""Maps of fewer pixels are not worth a call, and their statistics are left to PyTorch."""


def compares(maps: Tensor, other: Tensor) -> bool:
    """Whether the functions of this module compare two maps, ``[N, K, h, w]``: the first is in channels_last."""
    return (
        is_compiled(maps) and is_compiled(other) and maps.is_contiguous(memory_format=torch.channels_last)
        and maps.numel() >= LEAST_PIXELS * maps.shape[1])


def channel_moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel over all pixels.

    Args:
        rows (Tensor): ``[n, h, w, K]``.

    Returns:
        tuple[Tensor, Tensor]: ``[K]`` each, in float64; the variance is divided by the number of pixels.
    """
    rows = rows.contiguous()
    channels = rows.shape[-1]
    pixels = rows.numel() // channels
    chunks = -(-pixels // CHUNK)
    moments = rows.new_empty((chunks, 2, channels))
    call('moments_of_chunks', (rows, moments), (pixels, channels, CHUNK))
    means, squares = moments.double().unbind(1)
    counts = means.new_full((chunks, 1), CHUNK)
    counts[-1] = pixels - CHUNK * (chunks - 1)
    mean = (counts * means).sum(0) / pixels
    return mean, (squares + counts * (means - mean).square()).sum(0) / pixels


class Cells(NamedTuple):
    """The rectangles of an image between the bounds of all windows of average pooling, see :func:`cells_of`.

    Args:
        row_bounds (Tensor): Bounds of the rows of cells in pixels, ``[rows + 1]``.
        column_bounds (Tensor): Bounds of the columns of cells in pixels, ``[columns + 1]``.
        windows (Tensor): First and last bounds of the rows and of the columns of cells of each window, of all pooled
            maps, ``[windows, 4]``.
    """

    row_bounds: Tensor
    column_bounds: Tensor
    windows: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return len(self.row_bounds) - 1, len(self.column_bounds) - 1


@functools.lru_cache(maxsize=128)
def cells_of(size: tuple[int, int], pool_sizes: tuple[int, ...]) -> Cells:
    """The cells for adaptive average pooling of maps of ``size``, ``(h, w)``, to squares of sides ``pool_sizes``."""
    windows = [[_windows(length, count) for length in size] for count in pool_sizes]
    bounds = [
        sorted({0, length, *(bound for sides in windows for window in sides[axis] for bound in window)})
        for axis, length in enumerate(size)]
    found = [
        [bounds[axis].index(bound) for axis, window in enumerate(pair) for bound in window]
        for sides in windows for pair in itertools.product(*sides)]
    return Cells(*(torch.tensor(values, dtype=torch.int64, device='cpu') for values in (*bounds, found)))


def _windows(length: int, count: int) -> list[tuple[int, int]]:
    """First and last bound of the windows of adaptive average pooling along one side."""
    return [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


class Comparison(NamedTuple):
    """Sums over a map's deviations ``c = map - mean`` and the differences ``d = scale c + shift - other``.

    With ``L`` the sum, over the windows, of half their factor times the square of their mean of ``d``.

    Args:
        differences (Tensor): Sum of ``d``, ``[K]`` in float64, as all others but ``gradients``.
        squares (Tensor): Sum of ``d^2``.
        products (Tensor): Sum of ``d c``.
        of_windows (Tensor): ``L``.
        gradient_sums (Tensor): Sum of the gradient of ``L`` with respect to ``d``.
        gradient_products (Tensor): Sum of the gradient of ``L`` with respect to ``d``, times ``c``.
        gradients (Tensor): Gradient of ``L`` with respect to ``d`` at a pixel of each cell, ``[n, rows, columns, K]``.
    """

    differences: Tensor
    squares: Tensor
    products: Tensor
    of_windows: Tensor
    gradient_sums: Tensor
    gradient_products: Tensor
    gradients: Tensor


def compare(
        rows: Tensor, other: Tensor, mean: Tensor, scale: Tensor, shift: Tensor, cells: Cells,
        factors: Sequence[float]) -> Comparison:
    """Sum the differences of two maps over all pixels, and find the gradient through their means over windows.

    Args:
        rows (Tensor): ``[n, h, w, K]``.
        other (Tensor): ``[n, h, w, K]``.
        mean (Tensor): ``[K]``.
        scale (Tensor): ``[K]``.
        shift (Tensor): ``[K]``.
        cells (Cells): The cells.
        factors (Sequence[float]): A factor for each window of the cells.

    Returns:
        Comparison: The sums.
    """
    n, *size, channels = rows.shape
    of_rows = rows.new_zeros((n * cells.grid[0], 3, channels), dtype=torch.float64)
    of_images = rows.new_empty((n, 3, channels), dtype=torch.float64)
    gradients = rows.new_empty((n, *cells.grid, channels))
    factors = rows.new_tensor(factors)
    maps = (
        rows.contiguous(), other.contiguous(), *_vectors(mean, scale, shift), *cells, factors, of_rows, gradients,
        of_images)
    call('compare', maps, (n, *size, channels, *cells.grid, len(cells.windows)))
    return Comparison(*of_rows.sum(0), *of_images.sum(0), gradients)


def combine(
        rows: Tensor, other: Tensor, mean: Tensor, along_rows: Tensor, along_other: Tensor, offsets: Tensor,
        cells: Cells) -> Tensor:
    """A linear combination of two maps, ``along_rows (rows - mean) + along_other other + offset``.

    Args:
        rows (Tensor): ``[n, h, w, K]``.
        other (Tensor): ``[n, h, w, K]``.
        mean (Tensor): ``[K]``.
        along_rows (Tensor): ``[K]``.
        along_other (Tensor): ``[K]``.
        offsets (Tensor): Of each cell, ``[n, rows, columns, K]``.
        cells (Cells): The cells.

    Returns:
        Tensor: ``[n, h, w, K]``.
    """
    out = torch.empty_like(rows, memory_format=torch.contiguous_format)
    vectors = _vectors(mean, along_rows, along_other, offsets)
    maps = rows.contiguous(), other.contiguous(), *vectors, *cells[:2], out
    call('combine', maps, (*rows.shape, *cells.grid))
    return out


def _vectors(*vectors: Tensor) -> tuple[Tensor, ...]:
    return tuple(vector.float().contiguous() for vector in vectors)
