"""``conv2`` with a quarter of the multiplications, by the Winograd algorithm F(4x4, 3x3)."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from .matmul import add_transposed_batch_matmul, batch_matmul, onednn_pays
from .tile_transforms import Strip, input_tiles, input_tiles_adjoint, output_tiles, output_tiles_adjoint

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

    The transforms of the maps are in :mod:`.tile_transforms`. The backward pass is the adjoint of each step, in
    reverse.

    Args:
        kernels (tuple[Tensor]): The result of :meth:`kernels`.
        dtype (torch.dtype): Type of the maps.
    """

    def __init__(self, kernels: tuple[Tensor, ...], dtype: torch.dtype) -> None:
        self.kernel = kernels[0].to(dtype)
        self._wide = kernels[0].dtype
        self._gradient: Tensor | None = None
        self._buffers: list[Tensor] = []

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

    def forward(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """``[n, h, w, M]`` to ``[n, h, w, O]``, written to ``out`` if it is given."""
        out = rows.new_empty((*rows.shape[:3], self.kernel.shape[2])) if out is None else out
        for strip in self._strips(rows):
            tiles, products = self._buffers_of(strip, rows)
            input_tiles(rows, tiles, strip)
            output_tiles(batch_matmul(tiles, self.kernel, out=products), out, strip)
        return out

    def backward(self, grad: Tensor, rows: Tensor) -> Tensor:
        """Gradient of ``rows``, ``[n, h, w, M]``; that of the kernel is added to ``gradients``."""
        grad_rows = torch.zeros_like(rows)
        for strip in self._strips(rows):
            tiles, grad_products = self._buffers_of(strip, rows)
            input_tiles(rows, tiles, strip)
            output_tiles_adjoint(grad, grad_products, strip)
            self._gradient = add_transposed_batch_matmul(self._gradient, tiles, grad_products)
            grad_tiles = batch_matmul(grad_products, self.kernel.transpose(1, 2), out=tiles)
            input_tiles_adjoint(grad_tiles, grad_rows, strip)
        return grad_rows

    def _strips(self, rows: Tensor) -> Iterator[Strip]:
        """Iterate over strips of ``[n, h, w, M]``."""
        n, h, w, _ = rows.shape
        height, width = -(-h // 4), -(-w // 4)
        bytes_per_tile = 36 * max(self.kernel.shape[1:]) * rows.dtype.itemsize
        strip_bytes = STRIP_BYTES_OF_ONEDNN if onednn_pays() else STRIP_BYTES
        at_once = -(-max(STRIP_TILES, strip_bytes // bytes_per_tile) // width)
        images = max(1, at_once // height)
        in_strip = -(-height // -(-height // at_once))
        for image in range(0, n, images):
            for first in range(0, height, in_strip):
                yield Strip(slice(image, image + images), first, min(height, first + in_strip))

    def _buffers_of(self, strip: Strip, rows: Tensor) -> list[Tensor]:
        """Memory for the transformed tiles ``[36, tiles, M]`` and ``[36, tiles, O]``, the same for all strips.

        Large blocks of new memory are slow: the system maps them page by page.
        """
        shapes = [(36, strip.count(rows), channels) for channels in self.kernel.shape[1:]]
        if not self._buffers or any(math.prod(s) > b.numel() for s, b in zip(shapes, self._buffers)):
            self._buffers = [rows.new_empty(math.prod(shape)) for shape in shapes]
        return [buffer[:math.prod(shape)].view(shape) for shape, buffer in zip(shapes, self._buffers)]
