"""A 3x3 convolution that keeps the size of ``[n, h, w, M]`` maps, by its definition and by fewer multiplications."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

# Of F(4x4, 3x3), Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
_KERNEL_TRANSFORM = (
    (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1))
# What is in between stays in cache, and a product has enough rows to be worth reading the kernel.
_STRIP_BYTES, _STRIP_TILES = 4 * 2**20, 128


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
    """36 multiplications for 16 outputs where the definition has 144, by tiles of 4x4 outputs.

    A tile's 6x6 inputs and the kernel are transformed along both axes by additions, multiplied as 36 matrices
    ``[tiles, M] @ [M, O]``, and what comes out is transformed to 4x4 outputs; the backward pass is the adjoint. A
    few rows of tiles are done at a time, so that what is in between stays in cache.

    Args:
        weight (Tensor): ``[O, M, 3, 3]``.
    """

    def __init__(self, weight: Tensor) -> None:
        out_channels, in_channels = weight.shape[:2]
        transform = weight.new_tensor(_KERNEL_TRANSFORM)
        self.transform = torch.kron(transform, transform)
        by_tap = weight.flatten(2).permute(2, 1, 0).flatten(1)
        self.kernel = (self.transform @ by_tap).view(36, in_channels, out_channels)
        self.grad_kernel: Tensor | None = None

    def forward(self, rows: Tensor) -> Tensor:
        """``[n, h, w, M]`` to ``[n, h, w, O]``."""
        _, h, w, _ = rows.shape
        padded = _pad_to_tiles(rows)
        output = rows.new_empty((len(rows), padded.shape[1] - 2, padded.shape[2] - 2, self.kernel.shape[2]))
        for images, top, bottom in self._strips(output):
            tiles = _transformed(padded[images, top:bottom + 2])
            products = torch.bmm(tiles.flatten(0, 1).flatten(1, 3), self.kernel)
            _gather(products.view(6, 6, *tiles.shape[2:5], -1), output[images, top:bottom])
        # Copied where tiles reach over the edge, so that no more is kept than is used.
        return output[:, :h, :w].contiguous()

    def backward(self, grad: Tensor, rows: Tensor) -> Tensor:
        """The gradient of ``rows``; that of the weight is added up."""
        _, h, w, _ = rows.shape
        padded = _pad_to_tiles(rows)
        if h % 4 or w % 4:
            grad = F.pad(grad, (0, 0, 0, -w % 4, 0, -h % 4))
        grad_padded = torch.zeros_like(padded)
        for images, top, bottom in self._strips(grad):
            tiles = _transformed(padded[images, top:bottom + 2])
            shape, tiles = tiles.shape, tiles.flatten(0, 1).flatten(1, 3)
            grad_products = _gather_backward(grad[images, top:bottom]).flatten(0, 1).flatten(1, 3)
            if self.grad_kernel is None:
                self.grad_kernel = torch.bmm(tiles.transpose(1, 2), grad_products)
            else:
                self.grad_kernel.baddbmm_(tiles.transpose(1, 2), grad_products)
            grad_tiles = torch.bmm(grad_products, self.kernel.transpose(1, 2), out=tiles)
            _transformed_backward(grad_tiles.view(shape), grad_padded[images, top:bottom + 2])
        return grad_padded[:, 1:h + 1, 1:w + 1].contiguous()

    def weight_gradient(self) -> Tensor:
        """What the calls of :meth:`backward` have added up, ``[O, M, 3, 3]``."""
        _, in_channels, out_channels = self.kernel.shape
        by_tap = self.transform.t() @ self.grad_kernel.flatten(1)
        return by_tap.view(3, 3, in_channels, out_channels).permute(3, 2, 0, 1).contiguous()

    def _strips(self, output: Tensor) -> Iterator[tuple[slice, int, int]]:
        """Images and rows of ``[n, h, w, O]`` that are done at a time."""
        n, h, w, _ = output.shape
        bytes_per_tile = 36 * max(self.kernel.shape[1:]) * output.dtype.itemsize
        at_once = -(-max(_STRIP_TILES, _STRIP_BYTES // bytes_per_tile) // (w // 4))
        images = max(1, at_once // (h // 4))
        strips = -(-(h // 4) // at_once)
        height = 4 * -(-(h // 4) // strips)
        for image in range(0, n, images):
            for top in range(0, h, height):
                yield slice(image, image + images), top, min(h, top + height)


def _pad_to_tiles(rows: Tensor) -> Tensor:
    n, h, w, m = rows.shape
    padded = rows.new_empty((n, h + 2 + -h % 4, w + 2 + -w % 4, m))
    padded[:, 1:h + 1, 1:w + 1] = rows
    for border in padded[:, :1], padded[:, h + 1:], padded[:, :, :1], padded[:, :, w + 1:]:
        border.zero_()
    return padded


def _transformed(rows: Tensor) -> Tensor:
    """``[n, 4k + 2, 4l + 2, M]`` to its tiles ``[6, 6, n, k, l, M]``."""
    n, height, width, m = rows.shape
    k, tiles_wide = height // 4, width // 4
    half = rows.new_empty((6, n, k, width, m))
    _transform_inputs([rows[:, i:i + 4 * k:4] for i in range(6)], half)
    tiles = rows.new_empty((6, 6, n, k, tiles_wide, m))
    _transform_inputs([half[:, :, :, i:i + 4 * tiles_wide:4] for i in range(6)], tiles.transpose(0, 1))
    return tiles


def _transform_inputs(lines: list[Tensor], out: Tensor) -> None:
    torch.add(lines[4], lines[2], alpha=-5, out=out[0]).add_(lines[0], alpha=4)
    torch.add(lines[5], lines[3], alpha=-5, out=out[5]).add_(lines[1], alpha=4)
    for (first, second), factor in (((1, 2), 4), ((3, 4), 1)):
        even = torch.add(lines[4], lines[2], alpha=-factor)
        odd = torch.add(lines[3], lines[1], alpha=-factor)
        scale = 1 if factor == 4 else 2
        torch.add(even, odd, alpha=scale, out=out[first])
        torch.sub(even, odd, alpha=scale, out=out[second])


def _transformed_backward(grad: Tensor, out: Tensor) -> None:
    """Adjoint of :func:`_transformed`, added to ``out``."""
    _, _, n, k, tiles_wide, m = grad.shape
    half = grad.new_zeros((6, n, k, out.shape[2], m))
    _transform_inputs_backward(
        grad.transpose(0, 1), [half[:, :, :, i:i + 4 * tiles_wide:4] for i in range(6)])
    _transform_inputs_backward(half, [out[:, i:i + 4 * k:4] for i in range(6)])


def _transform_inputs_backward(grad: Tensor, lines: list[Tensor]) -> None:
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


def _gather(products: Tensor, out: Tensor) -> None:
    """Tiles ``[6, 6, n, k, l, O]`` to outputs ``[n, 4k, 4l, O]``."""
    half = products.new_empty((4, *products.shape[1:]))
    _transform_products(products, list(half))
    for i, line in enumerate(half):
        _transform_products(line, [out[:, i::4, j::4] for j in range(4)])


def _transform_products(products: Tensor, out: list[Tensor]) -> None:
    even, odd = products[1] + products[2], products[1] - products[2]
    far_even, far_odd = products[3] + products[4], products[3] - products[4]
    torch.add(products[0], even, out=out[0]).add_(far_even)
    torch.add(odd, far_odd, alpha=2, out=out[1])
    torch.add(even, far_even, alpha=4, out=out[2])
    torch.add(products[5], odd, out=out[3]).add_(far_odd, alpha=8)


def _gather_backward(grad: Tensor) -> Tensor:
    """Adjoint of :func:`_gather`."""
    n, h, w, out_channels = grad.shape
    half = grad.new_empty((6, n, h // 4, w, out_channels))
    _transform_outputs([grad[:, i::4] for i in range(4)], half)
    products = grad.new_empty((6, 6, n, h // 4, w // 4, out_channels))
    _transform_outputs([half[:, :, :, i::4] for i in range(4)], products.transpose(0, 1))
    return products


def _transform_outputs(lines: list[Tensor], out: Tensor) -> None:
    out[0] = lines[0]
    out[5] = lines[3]
    for (first, second), factor in (((1, 2), 1), ((3, 4), 2)):
        even = torch.add(lines[0], lines[2], alpha=factor**2)
        odd = torch.add(lines[1], lines[3], alpha=factor**2)
        torch.add(even, odd, alpha=factor, out=out[first])
        torch.sub(even, odd, alpha=factor, out=out[second])
