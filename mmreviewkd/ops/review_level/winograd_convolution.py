"""``conv2`` with a quarter of the multiplications, by the Winograd algorithm F(4x4, 3x3)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .matmul import add_transposed_batch_matmul, batch_matmul, onednn_pays

# Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, Sec. 4.3.
INPUT_TRANSFORM = (  # B^T
    (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1))
KERNEL_TRANSFORM = (  # G
    (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1))
OUTPUT_TRANSFORM = (  # A^T
    (1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
# Rows of tiles are computed in strips: small enough for the cache, large enough to amortize reading the kernel for each
# product. oneDNN prepares each product anew, which larger strips amortize.
STRIP_BYTES, STRIP_BYTES_OF_ONEDNN, STRIP_TILES = 4 * 2**20, 16 * 2**20, 128


class WinogradConvolution:
    """3x3 convolution of rows with padding 1, in tiles of 4x4 outputs (Eq. 13).

    In one dimension, four outputs of a filter ``g`` of three taps over six inputs ``d`` are
    ``A^T [(G g) * (B^T d)]``: six multiplications instead of twelve. This is the transpose of multiplying a polynomial
    of degree 2 by one of degree 3, done by evaluating both at the points 0, 1, -1, 2, -2 and infinity (``G`` and
    ``A``), multiplying the values, and interpolating the product (``B``). In two dimensions the transforms are applied
    along both axes: 36 multiplications instead of 144. Over ``M`` input and ``O`` output channels these are, for each
    of the 36 points, one matrix product ``[tiles, M] @ [M, O]``::

        output tile = A^T [ sum_M (G g G^T) * (B^T d B) ] A

    The matrices have few entries other than 0, so the transforms of the maps are written as additions. The backward
    pass is the adjoint of each step, in reverse.

    Args:
        kernels (tuple[Tensor]): The result of :meth:`kernels`.
        dtype (torch.dtype): Type of the maps.
    """

    def __init__(self, kernels: tuple[Tensor, ...], dtype: torch.dtype) -> None:
        self.kernel = kernels[0].to(dtype)
        self._wide = kernels[0].dtype
        self._gradient: Tensor | None = None

    @staticmethod
    def kernels(weight: Tensor, affine: Tensor) -> tuple[Tensor, ...]:
        """``G g G^T`` of the weight ``[O, M, 3, 3]``: ``[36, M, O]``."""
        transform = weight.new_tensor(KERNEL_TRANSFORM)
        by_tap = weight.flatten(2).permute(2, 1, 0).flatten(1)
        return ((torch.kron(transform, transform) @ by_tap).view(36, weight.shape[1], weight.shape[0]),)

    @property
    def gradients(self) -> tuple[Tensor, ...]:
        """Gradient of the kernel, summed over the calls of :meth:`backward`."""
        gradient = torch.zeros_like(self.kernel) if self._gradient is None else self._gradient
        return (gradient.to(self._wide),)

    def forward(self, rows: Tensor) -> Tensor:
        """``[n, h, w, M]`` to ``[n, h, w, O]``."""
        _, h, w, _ = rows.shape
        padded = _pad_to_tiles(rows)
        output = rows.new_empty((len(rows), padded.shape[1] - 2, padded.shape[2] - 2, self.kernel.shape[2]))
        for images, top, bottom in self._strips(output):
            tiles = input_tiles(padded[images, top:bottom + 2])
            by_point = batch_matmul(tiles.flatten(0, 1).flatten(1, 3), self.kernel)
            output_tiles(by_point.view(6, 6, *tiles.shape[2:5], -1), output[images, top:bottom])
        # A copy if tiles reach over the edge, so that only the used part is kept.
        return output[:, :h, :w].contiguous()

    def backward(self, grad: Tensor, rows: Tensor) -> Tensor:
        """Gradient of ``rows``, ``[n, h, w, M]``; that of the kernel is added to ``gradients``."""
        _, h, w, _ = rows.shape
        padded = _pad_to_tiles(rows)
        if h % 4 or w % 4:
            grad = F.pad(grad, (0, 0, 0, -w % 4, 0, -h % 4))
        grad_padded = torch.zeros_like(padded)
        for images, top, bottom in self._strips(grad):
            tiles = input_tiles(padded[images, top:bottom + 2])
            shape, tiles = tiles.shape, tiles.flatten(0, 1).flatten(1, 3)
            grad_products = output_tiles_adjoint(grad[images, top:bottom]).flatten(0, 1).flatten(1, 3)
            self._gradient = add_transposed_batch_matmul(self._gradient, tiles, grad_products)
            grad_tiles = batch_matmul(grad_products, self.kernel.transpose(1, 2), out=tiles)
            input_tiles_adjoint(grad_tiles.view(shape), grad_padded[images, top:bottom + 2])
        return grad_padded[:, 1:h + 1, 1:w + 1].contiguous()

    def _strips(self, output: Tensor) -> Iterator[tuple[slice, int, int]]:
        """Iterate over strips of ``[n, h, w, O]``: the images, the first and the last row of each."""
        n, h, w, _ = output.shape
        bytes_per_tile = 36 * max(self.kernel.shape[1:]) * output.dtype.itemsize
        strip_bytes = STRIP_BYTES_OF_ONEDNN if onednn_pays() else STRIP_BYTES
        at_once = -(-max(STRIP_TILES, strip_bytes // bytes_per_tile) // (w // 4))
        images = max(1, at_once // (h // 4))
        strips = -(-(h // 4) // at_once)
        height = 4 * -(-(h // 4) // strips)
        for image in range(0, n, images):
            for top in range(0, h, height):
                yield slice(image, image + images), top, min(h, top + height)


def _pad_to_tiles(rows: Tensor) -> Tensor:
    """``[n, h, w, M]`` with a border of one zero, and zeros below and to the right up to whole tiles."""
    n, h, w, m = rows.shape
    padded = rows.new_empty((n, h + 2 + -h % 4, w + 2 + -w % 4, m))
    padded[:, 1:h + 1, 1:w + 1] = rows
    for border in padded[:, :1], padded[:, h + 1:], padded[:, :, :1], padded[:, :, w + 1:]:
        border.zero_()
    return padded


# B^T d B and its adjoint.

def input_tiles(rows: Tensor) -> Tensor:
    """``[n, 4k + 2, 4l + 2, M]`` to its transformed tiles ``[6, 6, n, k, l, M]``."""
    n, height, width, m = rows.shape
    k, tiles_wide = height // 4, width // 4
    half = rows.new_empty((6, n, k, width, m))
    _times_input_transform([rows[:, i:i + 4 * k:4] for i in range(6)], half)
    tiles = rows.new_empty((6, 6, n, k, tiles_wide, m))
    _times_input_transform([half[:, :, :, i:i + 4 * tiles_wide:4] for i in range(6)], tiles.transpose(0, 1))
    return tiles


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


def input_tiles_adjoint(grad: Tensor, out: Tensor) -> None:
    """Adjoint of :func:`input_tiles`, added to ``out`` ``[n, 4k + 2, 4l + 2, M]``."""
    _, _, n, k, tiles_wide, m = grad.shape
    half = grad.new_zeros((6, n, k, out.shape[2], m))
    _add_transposed_input_transform(
        grad.transpose(0, 1), [half[:, :, :, i:i + 4 * tiles_wide:4] for i in range(6)])
    _add_transposed_input_transform(half, [out[:, i:i + 4 * k:4] for i in range(6)])


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


# A^T m A and its adjoint.

def output_tiles(products: Tensor, out: Tensor) -> None:
    """Products ``[6, 6, n, k, l, O]`` to outputs, written to ``out`` ``[n, 4k, 4l, O]``."""
    half = products.new_empty((4, *products.shape[1:]))
    _times_output_transform(products, list(half))
    for i, line in enumerate(half):
        _times_output_transform(line, [out[:, i::4, j::4] for j in range(4)])


def _times_output_transform(products: Tensor, out: list[Tensor]) -> None:
    """``A^T`` along six lines."""
    even, odd = products[1] + products[2], products[1] - products[2]
    far_even, far_odd = products[3] + products[4], products[3] - products[4]
    torch.add(products[0], even, out=out[0]).add_(far_even)
    torch.add(odd, far_odd, alpha=2, out=out[1])
    torch.add(even, far_even, alpha=4, out=out[2])
    torch.add(products[5], odd, out=out[3]).add_(far_odd, alpha=8)


def output_tiles_adjoint(grad: Tensor) -> Tensor:
    """Adjoint of :func:`output_tiles`: ``[n, 4k, 4l, O]`` to ``[6, 6, n, k, l, O]``."""
    n, h, w, out_channels = grad.shape
    half = grad.new_empty((6, n, h // 4, w, out_channels))
    _times_transposed_output_transform([grad[:, i::4] for i in range(4)], half)
    products = grad.new_empty((6, 6, n, h // 4, w // 4, out_channels))
    _times_transposed_output_transform([half[:, :, :, i::4] for i in range(4)], products.transpose(0, 1))
    return products


def _times_transposed_output_transform(lines: list[Tensor], out: Tensor) -> None:
    """``A`` along a list of four lines."""
    out[0] = lines[0]
    out[5] = lines[3]
    for (first, second), factor in (((1, 2), 1), ((3, 4), 2)):
        even = torch.add(lines[0], lines[2], alpha=factor**2)
        odd = torch.add(lines[1], lines[3], alpha=factor**2)
        torch.add(even, odd, alpha=factor, out=out[first])
        torch.sub(even, odd, alpha=factor, out=out[second])
