"""``conv2`` composed with ``conv1``, computed without materializing the fused map."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .layout import as_blocks
from .matmul import add_transposed_matmul, matmul


class ComposedConvolution:
    """3x3 convolution of ``f = [A b] y + z1 u``, computed separately for its two summands (Eq. 12).

    With ``W_t`` the ``[O, M]`` matrix of tap ``t``, ``p + t`` the pixel that the tap reads and ``q(p)`` the coarse
    pixel that nearest resizing copies to ``p``::

        conv2(f)_p = sum_t W_t f_{p+t}
                   = sum_t (W_t [A b]) y_{p+t}  +  sum_t z1_{p+t} (W_t r_{q(p+t)})

    The first sum is a 3x3 convolution from ``C + 1`` instead of ``M`` channels, with the composed kernel
    ``W_t [A b]``. In the second, the channels are mixed once per coarse pixel and tap; each of the nine products is
    repeated over the block of fine pixels, weighted by ``z1`` and shifted by the tap.

    Args:
        kernels (tuple[Tensor, Tensor]): The result of :meth:`kernels`.
        dtype (torch.dtype): Type of the maps.
    """

    def __init__(self, kernels: tuple[Tensor, ...], dtype: torch.dtype) -> None:
        self.kernel, self.by_tap = (kernel.to(dtype) for kernel in kernels)
        self.gradients = tuple(torch.zeros_like(kernel) for kernel in kernels)

    @staticmethod
    def kernels(weight: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
        """The composed kernel ``[O, C + 1, 3, 3]``, and the stacked matrices ``W_t``, ``[9 O, M]``."""
        by_tap = weight.permute(2, 3, 0, 1).flatten(0, 2)
        composed = (by_tap @ affine).view(3, 3, len(weight), -1).permute(2, 3, 0, 1)
        return composed.contiguous(), by_tap

    def forward(self, weighted: Tensor, attention: Tensor, coarse: Tensor) -> Tensor:
        """Convolve.

        Args:
            weighted (Tensor): ``y``, ``[n, h, w, C + 1]``.
            attention (Tensor): ``z1``, ``[n, h, w]``.
            coarse (Tensor): ``r``, ``[n, h', 1, w', 1, M]``, each of whose pixels is repeated over a whole block.

        Returns:
            Tensor: ``[n, O, h, w]``.
        """
        output = F.conv2d(weighted.permute(0, 3, 1, 2), self.kernel, padding=1)
        n, out_channels, h, w = output.shape
        products, attention = self._products(coarse), as_blocks(attention.unsqueeze(-1), coarse)
        spread = output.new_zeros((n, h + 2, w + 2, out_channels))
        for tap in range(9):
            _shifted(spread, tap, coarse).addcmul_(products[..., tap, :], attention)
        return output.add_(spread[:, 1:-1, 1:-1].permute(0, 3, 1, 2))

    def backward(
            self, grad: Tensor, weighted: Tensor, attention: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the arguments of :meth:`forward`; those of the kernels are added to ``gradients`` (Eq. 19, 20).

        Args:
            grad (Tensor): Gradient of the output, ``[n, O, h, w]``.
            weighted (Tensor): As in :meth:`forward`.
            attention (Tensor): As in :meth:`forward`.
            coarse (Tensor): As in :meth:`forward`.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Gradients of ``weighted``, ``attention`` and ``coarse``.
        """
        grad_weighted, grad_kernel, _ = torch.ops.aten.convolution_backward(
            grad, weighted.permute(0, 3, 1, 2), self.kernel, [0], [1, 1], [1, 1], [1, 1], False, [0, 0], 1,
            [True, True, False])
        self.gradients[0].add_(grad_kernel)
        products, attention = self._products(coarse), as_blocks(attention.unsqueeze(-1), coarse)
        grad_products = torch.zeros_like(products)
        padded = F.pad(grad.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        correlation = None
        for tap in range(9):
            view = _shifted(padded, tap, coarse)
            product, grad_product = products[..., tap, :], grad_products[..., tap, :]
            # Eq. 19
            correlation = view * product if correlation is None else correlation.addcmul_(view, product)
            for i in range(view.shape[2]):
                for j in range(view.shape[4]):
                    pixel = slice(None), slice(None), slice(i, i + 1), slice(None), slice(j, j + 1)
                    grad_product.addcmul_(view[pixel], attention[pixel])
        flat = grad_products.flatten(0, 4).flatten(1)  # Eq. 20
        add_transposed_matmul(self.gradients[1], flat, coarse.flatten(0, 4))
        grad_attention = correlation.sum(-1).view(weighted.shape[:3])
        return grad_weighted.permute(0, 2, 3, 1), grad_attention, matmul(flat, self.by_tap).view_as(coarse)

    def _products(self, coarse: Tensor) -> Tensor:
        """``W_t r`` for all taps, ``[n, h', 1, w', 1, 9, O]``."""
        return matmul(coarse, self.by_tap.t()).unflatten(-1, (9, -1))


def _shifted(padded: Tensor, tap: int, coarse: Tensor) -> Tensor:
    """View of ``[n, h + 2, w + 2, O]``, in blocks, with the outputs to which a tap adds the pixels of each block."""
    top, left = 2 - tap // 3, 2 - tap % 3
    h, w = padded.shape[1] - 2, padded.shape[2] - 2
    return as_blocks(padded[:, top:top + h, left:left + w], coarse)
