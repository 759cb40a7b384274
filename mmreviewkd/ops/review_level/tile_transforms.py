"""The transforms of the Winograd convolution F(4x4, 3x3), and their adjoints.

They are computed for a strip of a map, some rows of tiles at a time. A tile is 6x6 inputs, which begin one pixel
outside the map and overlap by two, or 4x4 outputs. Pixels outside the map are zero.

The matrices of the transforms have few entries other than 0, so they are written as additions.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Strip(NamedTuple):
    """Some rows of tiles of some images.

    Args:
        images (slice): The images.
        first (int): The first row of tiles.
        last (int): The row of tiles after the last one.
    """

    images: slice
    first: int
    last: int

    def tiles(self, maps: Tensor) -> tuple[int, int, int]:
        """The images, rows and columns of tiles of maps ``[N, h, w, K]``."""
        return len(range(len(maps))[self.images]), self.last - self.first, -(-maps.shape[2] // 4)

    def count(self, maps: Tensor) -> int:
        """The number of tiles of maps ``[N, h, w, K]``."""
        return math.prod(self.tiles(maps))


# 1. B^T d B.

def input_tiles(rows: Tensor, out: Tensor, strip: Strip) -> None:
    """Transform inputs, ``B^T d B``.

    Args:
        rows (Tensor): ``[N, h, w, M]``.
        out (Tensor): ``[36, tiles, M]``, which is overwritten.
        strip (Strip): The tiles to transform.
    """
    n, k, tiles_wide = strip.tiles(rows)
    padded = _padded(rows, strip)
    half = rows.new_empty((6, n, k, padded.shape[2], rows.shape[3]))
    _times_input_transform([padded[:, i:i + 4 * k:4] for i in range(6)], half)
    tiles = out.view(6, 6, n, k, tiles_wide, -1)
    _times_input_transform([half[:, :, :, i:i + 4 * tiles_wide:4] for i in range(6)], tiles.transpose(0, 1))


def _times_input_transform(lines: list[Tensor], out: Tensor) -> None:
    """``B^T`` along a list of six lines."""
    torch.add(lines[4], lines[2], alpha=-5, out=out[0]).add_(lines[0], alpha=4)
    torch.add(lines[5], lines[3], alpha=-5, out=out[5]).add_(lines[1], alpha=4)
    for (first, second), factor in (((1, 2), 4), ((3, 4), 1)):
        even = torch.add(lines[4], lines[2], alpha=-factor)
        odd = torch.add(lines[3], lines[1], alpha=-factor)
        scale = 1 if factor == 4 else 2
        torch.add(even, odd, alpha=scale, out=out[first])
        torch.sub(even, odd, alpha=scale, out=out[second])


def input_tiles_adjoint(grad: Tensor, out: Tensor, strip: Strip) -> None:
    """Adjoint of :func:`input_tiles`.

    Args:
        grad (Tensor): ``[36, tiles, M]``.
        out (Tensor): ``[N, h, w, M]``, to which the gradient is added.
        strip (Strip): The tiles.
    """
    n, k, tiles_wide = strip.tiles(out)
    _, h, w, m = out.shape
    grad = grad.view(6, 6, n, k, tiles_wide, m)
    half = grad.new_zeros((6, n, k, 4 * tiles_wide + 2, m))
    _add_transposed_input_transform(
        grad.transpose(0, 1), [half[:, :, :, i:i + 4 * tiles_wide:4] for i in range(6)])
    padded = grad.new_zeros((n, 4 * k + 2, 4 * tiles_wide + 2, m))
    _add_transposed_input_transform(half, [padded[:, i:i + 4 * k:4] for i in range(6)])
    top, bottom = max(4 * strip.first - 1, 0), min(4 * strip.last + 1, h)
    below = top - (4 * strip.first - 1)
    out[strip.images, top:bottom] += padded[:, below:below + bottom - top, 1:w + 1]


def _add_transposed_input_transform(grad: Tensor, lines: list[Tensor]) -> None:
    """Add ``B`` along six lines ``grad`` to the lines."""
    even, odd = grad[1] + grad[2], grad[1] - grad[2]
    lines[2].sub_(even, alpha=4)
    lines[1].sub_(odd, alpha=4)
    even += torch.add(grad[3], grad[4], out=(other := torch.empty_like(even)))
    lines[2].sub_(other)
    torch.sub(grad[3], grad[4], out=other)
    lines[1].sub_(other, alpha=2)
    odd.add_(other, alpha=2)
    lines[0].add_(grad[0], alpha=4)
    lines[1].add_(grad[5], alpha=4)
    lines[2].sub_(grad[0], alpha=5)
    lines[3].add_(odd.sub_(grad[5], alpha=5))
    lines[4].add_(even.add_(grad[0]))
    lines[5].add_(grad[5])


# 2. A^T m A.

def output_tiles(products: Tensor, out: Tensor, strip: Strip) -> None:
    """Transform products to outputs, ``A^T m A``.

    Args:
        products (Tensor): ``[36, tiles, O]``.
        out (Tensor): ``[N, h, w, O]``, whose pixels in the strip are overwritten.
        strip (Strip): The tiles.
    """
    n, k, tiles_wide = strip.tiles(out)
    products = products.view(6, 6, n, k, tiles_wide, -1)
    half = products.new_empty((4, *products.shape[1:]))
    _times_output_transform(products, list(half))
    pixels = out[strip.images, 4 * strip.first:4 * strip.last]
    whole = pixels if pixels.shape[1:3] == (4 * k, 4 * tiles_wide) else products.new_empty(
        (n, 4 * k, 4 * tiles_wide, out.shape[3]))
    for i, line in enumerate(half):
        _times_output_transform(line, [whole[:, i::4, j::4] for j in range(4)])
    if whole is not pixels:
        pixels.copy_(whole[:, :pixels.shape[1], :pixels.shape[2]])


def _times_output_transform(products: Tensor, out: list[Tensor]) -> None:
    """``A^T`` along six lines."""
    even, odd = products[1] + products[2], products[1] - products[2]
    far_even, far_odd = products[3] + products[4], products[3] - products[4]
    torch.add(products[0], even, out=out[0]).add_(far_even)
    torch.add(odd, far_odd, alpha=2, out=out[1])
    torch.add(even, far_even, alpha=4, out=out[2])
    torch.add(products[5], odd, out=out[3]).add_(far_odd, alpha=8)


def output_tiles_adjoint(grad: Tensor, out: Tensor, strip: Strip) -> None:
    """Adjoint of :func:`output_tiles`.

    Args:
        grad (Tensor): ``[N, h, w, O]``.
        out (Tensor): ``[36, tiles, O]``, which is overwritten.
        strip (Strip): The tiles.
    """
    n, k, tiles_wide = strip.tiles(grad)
    pixels = grad[strip.images, 4 * strip.first:4 * strip.last]
    if pixels.shape[1:3] != (4 * k, 4 * tiles_wide):
        pixels = F.pad(pixels, (0, 0, 0, 4 * tiles_wide - pixels.shape[2], 0, 4 * k - pixels.shape[1]))
    half = grad.new_empty((6, n, k, 4 * tiles_wide, grad.shape[3]))
    _times_transposed_output_transform([pixels[:, i::4] for i in range(4)], half)
    products = out.view(6, 6, n, k, tiles_wide, -1)
    _times_transposed_output_transform([half[:, :, :, i::4] for i in range(4)], products.transpose(0, 1))


def _times_transposed_output_transform(lines: list[Tensor], out: Tensor) -> None:
    """``A`` along a list of four lines."""
    out[0] = lines[0]
    out[5] = lines[3]
    for (first, second), factor in (((1, 2), 1), ((3, 4), 2)):
        even = torch.add(lines[0], lines[2], alpha=factor**2)
        odd = torch.add(lines[1], lines[3], alpha=factor**2)
        torch.add(even, odd, alpha=factor, out=out[first])
        torch.sub(even, odd, alpha=factor, out=out[second])


# 3. Common to all.

def _padded(rows: Tensor, strip: Strip) -> Tensor:
    """The inputs of a strip, ``[n, 4k + 2, 4l + 2, M]``, with zeros outside the map."""
    _, h, w, _ = rows.shape
    top, bottom = 4 * strip.first - 1, 4 * strip.last + 1
    inside = rows[strip.images, max(top, 0):min(bottom, h)]
    return F.pad(inside, (0, 0, 1, 1 + -w % 4, max(-top, 0), max(bottom - h, 0)))
