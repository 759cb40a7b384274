"""A 3x3 convolution that keeps the size of ``[n, h, w, M]`` maps, by its definition and by fewer multiplications."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

# Of F(2x2, 3x3), Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
_KERNEL_TRANSFORM = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))
_STRIP_BYTES = 4 * 2**20


class DirectConvolution:
    """The library's own convolution.

    Args:
        weight (Tensor): ``[O, M, 3, 3]``.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.contiguous()
        self.grad_weight: Tensor | float = 0.0

    def forward(self, rows: Tensor) -> Tensor:
        """``[n, h, w, M]`` to ``[n, h, w, O]``."""
        return F.conv2d(rows.permute(0, 3, 1, 2), self.weight, padding=1).permute(0, 2, 3, 1)

    def backward(self, grad: Tensor, rows: Tensor) -> Tensor:
        """The gradient of ``rows``; that of the weight is added up."""
        grad_rows, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad.permute(0, 3, 1, 2), rows.permute(0, 3, 1, 2), self.weight, [0], [1, 1], [1, 1], [1, 1], False,
            [0, 0], 1, [True, True, False])
        self.grad_weight = self.grad_weight + grad_weight
        return grad_rows.permute(0, 2, 3, 1).contiguous()

    def weight_gradient(self) -> Tensor:
        """What the calls of :meth:`backward` have added up, ``[O, M, 3, 3]``."""
        return self.grad_weight


class WinogradConvolution:
    """Four multiplications for each output where the definition has nine, by tiles of 2x2 outputs.

    A tile's 4x4 inputs and the kernel are transformed along both axes by additions, multiplied as 16 matrices
    ``[tiles, M] @ [M, O]``, and what comes out is transformed to 2x2 outputs; the backward pass is the adjoint. A
    few rows of tiles are done at a time, so that what is in between stays in cache.

    Args:
        weight (Tensor): ``[O, M, 3, 3]``.
    """

    def __init__(self, weight: Tensor) -> None:
        self.transform = weight.new_tensor(_KERNEL_TRANSFORM)
        kernel = torch.einsum('ai,bj,omij->abmo', self.transform, self.transform, weight)
        self.kernel = kernel.flatten(0, 1).contiguous()
        self.grad_kernel = torch.zeros_like(self.kernel)

    def forward(self, rows: Tensor) -> Tensor:
        """``[n, h, w, M]`` to ``[n, h, w, O]``."""
        _, h, w, _ = rows.shape
        padded = _pad_to_tiles(rows)
        output = rows.new_empty((len(rows), padded.shape[1] - 2, padded.shape[2] - 2, self.kernel.shape[2]))
        for images, top, bottom in self._strips(output):
            tiles = _transformed(padded[images, top:bottom + 2])
            products = torch.bmm(tiles.flatten(0, 1).flatten(1, 3), self.kernel)
            _gather(products.view(4, 4, *tiles.shape[2:5], -1), output[images, top:bottom])
        return output[:, :h, :w]

    def backward(self, grad: Tensor, rows: Tensor) -> Tensor:
        """The gradient of ``rows``; that of the weight is added up."""
        _, h, w, _ = rows.shape
        padded, grad = _pad_to_tiles(rows), F.pad(grad, (0, 0, 0, w % 2, 0, h % 2))
        grad_padded = torch.zeros_like(padded)
        for images, top, bottom in self._strips(grad):
            tiles = _transformed(padded[images, top:bottom + 2])
            shape, tiles = tiles.shape, tiles.flatten(0, 1).flatten(1, 3)
            grad_products = _gather_backward(grad[images, top:bottom]).flatten(0, 1).flatten(1, 3)
            self.grad_kernel.baddbmm_(tiles.transpose(1, 2), grad_products)
            grad_tiles = torch.bmm(grad_products, self.kernel.transpose(1, 2), out=tiles)
            _transformed_backward(grad_tiles.view(shape), grad_padded[images, top:bottom + 2])
        return grad_padded[:, 1:h + 1, 1:w + 1].contiguous()

    def weight_gradient(self) -> Tensor:
        """What the calls of :meth:`backward` have added up, ``[O, M, 3, 3]``."""
        return torch.einsum(
            'ai,bj,abmo->omij', self.transform, self.transform, self.grad_kernel.unflatten(0, (4, 4)))

    def _strips(self, output: Tensor) -> Iterator[tuple[slice, int, int]]:
        """Images and rows of ``[n, h, w, O]`` that are done at a time."""
        n, h, w, _ = output.shape
        bytes_per_tile_row = w // 2 * 16 * max(self.kernel.shape[1:]) * output.dtype.itemsize
        at_once = max(1, _STRIP_BYTES // bytes_per_tile_row)
        images = max(1, at_once // (h // 2))
        strips = -(-(h // 2) // at_once)
        height = 2 * -(-(h // 2) // strips)
        for image in range(0, n, images):
            for top in range(0, h, height):
                yield slice(image, image + images), top, min(h, top + height)


def _pad_to_tiles(rows: Tensor) -> Tensor:
    _, h, w, _ = rows.shape
    return F.pad(rows, (0, 0, 1, 1 + w % 2, 1, 1 + h % 2))


def _transformed(rows: Tensor) -> Tensor:
    """``[n, 2k + 2, 2l + 2, M]`` to its tiles ``[4, 4, n, k, l, M]``."""
    n, height, width, m = rows.shape
    k, tiles_wide = height // 2 - 1, width // 2 - 1
    half = rows.new_empty((4, n, k, width, m))
    _difference_transform([rows[:, i:i + 2 * k:2] for i in range(4)], half)
    tiles = rows.new_empty((4, 4, n, k, tiles_wide, m))
    _difference_transform([half[:, :, :, i:i + 2 * tiles_wide:2] for i in range(4)], tiles.transpose(0, 1))
    return tiles


def _difference_transform(lines: list[Tensor], out: Tensor) -> None:
    torch.sub(lines[0], lines[2], out=out[0])
    torch.add(lines[1], lines[2], out=out[1])
    torch.sub(lines[2], lines[1], out=out[2])
    torch.sub(lines[1], lines[3], out=out[3])


def _transformed_backward(grad: Tensor, out: Tensor) -> None:
    """Adjoint of :func:`_transformed`, added to ``out``."""
    _, _, n, k, tiles_wide, m = grad.shape
    half = grad.new_zeros((4, n, k, out.shape[2], m))
    _difference_transform_backward(
        grad.transpose(0, 1), [half[:, :, :, i:i + 2 * tiles_wide:2] for i in range(4)])
    _difference_transform_backward(half, [out[:, i:i + 2 * k:2] for i in range(4)])


def _difference_transform_backward(grad: Tensor, lines: list[Tensor]) -> None:
    lines[0] += grad[0]
    lines[1] += (grad[1] - grad[2]).add_(grad[3])
    lines[2] += (grad[1] + grad[2]).sub_(grad[0])
    lines[3] -= grad[3]


def _gather(products: Tensor, out: Tensor) -> None:
    """Tiles ``[4, 4, n, k, l, O]`` to outputs ``[n, 2k, 2l, O]``."""
    for i, line in enumerate(_line_sums(products)):
        above, below = line[0] + line[1], line[1] - line[2]
        torch.add(above, line[2], out=out[:, i::2, ::2])
        torch.sub(below, line[3], out=out[:, i::2, 1::2])


def _line_sums(products: Tensor) -> tuple[Tensor, Tensor]:
    return (products[0] + products[1]).add_(products[2]), (products[1] - products[2]).sub_(products[3])


def _gather_backward(grad: Tensor) -> Tensor:
    """Adjoint of :func:`_gather`."""
    n, h, w, out_channels = grad.shape
    half = grad.new_empty((4, n, h // 2, w, out_channels))
    _sum_transform(grad[:, ::2], grad[:, 1::2], half)
    products = grad.new_empty((4, 4, n, h // 2, w // 2, out_channels))
    _sum_transform(half[:, :, :, ::2], half[:, :, :, 1::2], products.transpose(0, 1))
    return products


def _sum_transform(first: Tensor, second: Tensor, out: Tensor) -> None:
    out[0] = first
    torch.add(first, second, out=out[1])
    torch.sub(first, second, out=out[2])
    torch.neg(second, out=out[3])
