"""HCL of one level and its gradient, through the normalization, in three passes over the maps."""

import math
from collections.abc import Sequence

from torch import Tensor

from .compiled.comparing import cells_of, combine, compare
from .review_level.layout import to_maps, to_rows
from .review_level.normalization import Unnormalized, batch_statistics


def has_large_cells(maps: Tensor, pool_sizes: Sequence[int]) -> bool:
    """Whether there are so many pixels in a cell that sums over cells take less time than maps."""
    size = tuple(maps.shape[-2:])
    return 2 * math.prod(cells_of(size, tuple(pool_sizes)).grid) <= math.prod(size)


def hcl_and_gradients(
        student: Unnormalized, teacher: Tensor, pool_sizes: Sequence[int], weights: Sequence[float],
        wanted: bool) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor] | None]:
    """Compute HCL of one level, and update the running statistics.

    No map but the gradient is written: the first pass finds the statistics of the batch, the second the loss and the
    sums of Eq. 25, and the third the gradient, a linear combination of both maps and a value for each cell.

    Args:
        student (Unnormalized): ``h``, ``[N, O, H, W]``, with its normalization.
        teacher (Tensor): ``t``, ``[N, O, H, W]``.
        pool_sizes (Sequence[int]): Sides of the pooled maps that are smaller than ``H``.
        weights (Sequence[float]): Weights of the mean squares of the difference, and of each pooled map.
        wanted (bool): Whether the gradients are wanted.

    Returns:
        tuple[Tensor, tuple[Tensor, Tensor, Tensor] | None]: The loss, and the gradients of ``h``, and of the weight and
        bias of its normalization.
    """
    maps, norm = student.maps, student.norm
    rows, other = to_rows(maps), to_rows(teacher)
    pixels = maps.numel() // maps.shape[1]
    mean, variance = batch_statistics(maps, norm) if norm.from_batch else (norm.running_mean, norm.running_var)
    # In float64, because most of the gradient along the normalized map cancels in Eq. 26, and the rest that rounding
    # would leave has one sign at all pixels.
    inverse_std = (variance.double() + norm.eps).rsqrt()
    scale = norm.weight * inverse_std
    cells = cells_of(tuple(rows.shape[1:3]), tuple(pool_sizes))
    # The gradient of a weighted mean square is 2 weight / size times the values.
    along = 2 * weights[0] / maps.numel()
    factors = []
    for size, weight in zip(pool_sizes, weights[1:]):
        factors += [2 * weight / (maps.shape[:2].numel() * size**2)] * size**2
    found = compare(rows, other, mean, scale, norm.bias, cells, factors)
    loss = (along / 2 * found.squares + found.of_windows).sum().to(maps.dtype)
    if not wanted:
        return loss, None
    products = found.products
    if norm.from_batch:  # of the differences with the scale as it was rounded for the pass over the maps
        products = products + (scale - scale.float()) * variance * pixels
    grad_weight = inverse_std * (along * products + found.gradient_products)  # Eq. 25
    grad_bias = along * found.differences + found.gradient_sums

    # Eq. 26, with the normalized map and the difference as functions of h and t.
    along_deviation, offset = scale * along * scale, scale * along * norm.bias
    if norm.from_batch:
        along_deviation -= scale * inverse_std * grad_weight / pixels
        offset -= scale * grad_bias / pixels
    offsets = found.gradients * scale.float() + offset.float()
    gradient = combine(rows, other, mean, along_deviation, -along * scale, offsets, cells)
    return loss, (to_maps(gradient), grad_weight.to(maps.dtype), grad_bias.to(maps.dtype))
