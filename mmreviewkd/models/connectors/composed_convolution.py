"""The 3x3 convolution of a fused map that is never made."""

import torch
import torch.nn.functional as F
from torch import Tensor


class ComposedConvolution:
    """``conv2(z0 * x + z1 * u)``, where ``x`` is affine in few channels and ``u`` repeats a coarse map over blocks.

    The first summand is a convolution of ``[z0 * (s - mean); z0]`` by the kernel composed of both convolutions. In the
    second, the channels are mixed at the coarse size, once for each of the nine taps, and the products are spread over
    their blocks, weighted by the attention and shifted by the tap.

    Args:
        weight (Tensor): Of ``conv2``, ``[O, M, 3, 3]``.
        affine (Tensor): ``[M, C + 1]``, what gives ``x`` from ``[s - mean; 1]``.
    """

    def __init__(self, weight: Tensor, affine: Tensor) -> None:
        out_channels = len(weight)
        self.affine = affine
        self.by_tap = weight.permute(2, 3, 0, 1).flatten(0, 2)
        composed = (self.by_tap @ affine).view(3, 3, out_channels, -1).permute(2, 3, 0, 1)
        self.kernel = composed.contiguous()
        self.grad_by_tap = torch.zeros_like(self.by_tap)
        self.grad_kernel = torch.zeros_like(self.kernel)

    def forward(self, weighted: Tensor, attention: Tensor, coarse: Tensor) -> Tensor:
        """Convolve.

        Args:
            weighted (Tensor): ``[n, h, w, C + 1]``.
            attention (Tensor): ``z1``, ``[n, h, w]``.
            coarse (Tensor): ``[n, h', 1, w', 1, M]``.

        Returns:
            Tensor: ``[n, O, h, w]``.
        """
        output = F.conv2d(weighted.permute(0, 3, 1, 2), self.kernel, padding=1)
        n, out_channels, h, w = output.shape
        products, attention = self._products(coarse), _in_blocks(attention.unsqueeze(-1), coarse)
        spread = output.new_zeros((n, h + 2, w + 2, out_channels))
        for tap in range(9):
            _shifted(spread, tap, coarse).addcmul_(products[..., tap, :], attention)
        return output.add_(spread[:, 1:-1, 1:-1].permute(0, 3, 1, 2))

    def backward(
            self, grad: Tensor, weighted: Tensor, attention: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the arguments of :meth:`forward`, those of the weights are added up.

        Args:
            grad (Tensor): ``[n, O, h, w]``.
            weighted (Tensor): As there.
            attention (Tensor): As there.
            coarse (Tensor): As there.
        """
        grad_weighted, grad_kernel, _ = torch.ops.aten.convolution_backward(
            grad, weighted.permute(0, 3, 1, 2), self.kernel, [0], [1, 1], [1, 1], [1, 1], False, [0, 0], 1,
            [True, True, False])
        self.grad_kernel += grad_kernel
        products, attention = self._products(coarse), _in_blocks(attention.unsqueeze(-1), coarse)
        grad_products = torch.zeros_like(products)
        padded = F.pad(grad.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        correlation = None
        for tap in range(9):
            view = _shifted(padded, tap, coarse)
            product, grad_product = products[..., tap, :], grad_products[..., tap, :]
            correlation = view * product if correlation is None else correlation.addcmul_(view, product)
            for i in range(view.shape[2]):
                for j in range(view.shape[4]):
                    block = slice(None), slice(None), slice(i, i + 1), slice(None), slice(j, j + 1)
                    grad_product.addcmul_(view[block], attention[block])
        flat = grad_products.flatten(0, 4).flatten(1)
        self.grad_by_tap.addmm_(flat.t(), coarse.flatten(0, 4))
        grad_attention = correlation.sum(-1).view(weighted.shape[:3])
        return grad_weighted.permute(0, 2, 3, 1), grad_attention, (flat @ self.by_tap).view_as(coarse)

    def weight_gradients(self) -> tuple[Tensor, Tensor]:
        """Gradients of ``weight`` and of ``affine``."""
        out_channels = len(self.kernel)
        grad_kernel = self.grad_kernel.permute(2, 3, 0, 1).flatten(0, 2)
        grad_by_tap = torch.addmm(self.grad_by_tap, grad_kernel, self.affine.t())
        return grad_by_tap.view(3, 3, out_channels, -1).permute(2, 3, 0, 1), self.by_tap.t() @ grad_kernel

    def _products(self, coarse: Tensor) -> Tensor:
        """``[n, h', 1, w', 1, 9, O]``."""
        return (coarse @ self.by_tap.t()).unflatten(-1, (9, -1))


def _in_blocks(fine: Tensor, coarse: Tensor) -> Tensor:
    """``[n, h, w, K]`` as ``[n, h', h / h', w', w / w', K]``."""
    rows, columns = coarse.shape[1], coarse.shape[3]
    return fine.unflatten(2, (columns, -1)).unflatten(1, (rows, -1))


def _shifted(padded: Tensor, tap: int, coarse: Tensor) -> Tensor:
    """What the pixels of a block contribute to, or take from, by a tap; a view of ``[n, h + 2, w + 2, O]``."""
    top, left = 2 - tap // 3, 2 - tap % 3
    h, w = padded.shape[1] - 2, padded.shape[2] - 2
    return _in_blocks(padded[:, top:top + h, left:left + w], coarse)
