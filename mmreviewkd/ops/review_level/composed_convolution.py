"""``conv2`` composed with ``conv1``, computed without materializing the fused map."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmreviewkd.ops.compiled import call, is_compiled

from .compiled_winograd_convolution import CompiledWinogradConvolution
from .direct_convolution import DirectConvolution
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
        self.by_tap = kernels[1].to(dtype)
        self._own = _own_convolution(kernels[1])(kernels[:1], dtype)
        self._by_tap_gradient = torch.zeros_like(kernels[1])

    @staticmethod
    def kernels(weight: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
        """The kernel of the convolution with ``W_t [A b]``, and the stacked matrices ``W_t``, ``[9 O, M]``."""
        by_tap = weight.permute(2, 3, 0, 1).flatten(0, 2)
        composed = (by_tap @ affine).view(3, 3, len(weight), -1).permute(2, 3, 0, 1).contiguous()
        return *_own_convolution(weight).kernels(composed, affine), by_tap

    @property
    def gradients(self) -> tuple[Tensor, ...]:
        """Gradients of the kernels, summed over the calls of :meth:`backward`."""
        return *self._own.gradients, self._by_tap_gradient

    def forward(
            self, weighted: Tensor, attention: Tensor, coarse: Tensor, out: Tensor | None = None) -> Tensor:
        """Convolve.

        Args:
            weighted (Tensor): ``y``, ``[n, h, w, C + 1]``.
            attention (Tensor): ``z1``, ``[n, h, w]``.
            coarse (Tensor): ``r``, ``[n, h', 1, w', 1, M]``, each of whose pixels is repeated over a whole block.
            out (Tensor, optional): ``[n, h, w, O]``, which is overwritten. Defaults to None.

        Returns:
            Tensor: ``[n, h, w, O]``.
        """
        out = self._own.forward(weighted, out).contiguous()
        _spread(self._products(coarse), attention, out)
        return out

    def backward(
            self, grad: Tensor, weighted: Tensor, attention: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the arguments of :meth:`forward`; those of the kernels are added to ``gradients`` (Eq. 19, 20).

        Args:
            grad (Tensor): Gradient of the output, ``[n, h, w, O]``.
            weighted (Tensor): As in :meth:`forward`.
            attention (Tensor): As in :meth:`forward`.
            coarse (Tensor): As in :meth:`forward`.

        Returns:
            tuple[Tensor, Tensor, Tensor]: Gradients of ``weighted``, ``attention`` and ``coarse``.
        """
        grad_weighted = self._own.backward(grad, weighted)
        grad_attention, grad_products = _spread_adjoint(grad, self._products(coarse), attention)
        flat = grad_products.flatten(0, 4).flatten(1)  # Eq. 20
        add_transposed_matmul(self._by_tap_gradient, flat, coarse.flatten(0, 4))
        return grad_weighted, grad_attention, matmul(flat, self.by_tap).view_as(coarse)

    def _products(self, coarse: Tensor) -> Tensor:
        """``W_t r`` for all taps, ``[n, h', 1, w', 1, 9, O]``."""
        return matmul(coarse, self.by_tap.t()).unflatten(-1, (9, -1))


def _own_convolution(weight: Tensor) -> type[DirectConvolution] | type[CompiledWinogradConvolution]:
    """The convolution that computes the first sum: by Winograd's algorithm where it is compiled."""
    return CompiledWinogradConvolution if is_compiled(weight) else DirectConvolution


def _spread(products: Tensor, attention: Tensor, out: Tensor) -> None:
    """Add the second sum of Eq. 12, of the products ``[n, h', 1, w', 1, 9, O]``, to ``out`` ``[n, h, w, O]``."""
    blocks = as_blocks(attention.unsqueeze(-1), products)
    if is_compiled(products):
        maps = products.contiguous(), attention.contiguous(), out
        call('spread_products', maps, _sizes(blocks, out))
        return
    spread = F.pad(out, (0, 0, 1, 1, 1, 1))
    for tap in range(9):
        _shifted(spread, tap, products).addcmul_(products[..., tap, :], blocks)
    out.copy_(spread[:, 1:-1, 1:-1])


def _spread_adjoint(grad: Tensor, products: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of ``attention`` and ``products`` for the gradient of ``out``, of :func:`_spread` (Eq. 19)."""
    blocks = as_blocks(attention.unsqueeze(-1), products)
    if is_compiled(products):
        maps = grad.contiguous(), products.contiguous(), attention.contiguous()
        grad_attention, grad_products = torch.empty_like(maps[2]), torch.empty_like(maps[1])
        call('spread_products_adjoint', (*maps, grad_attention, grad_products), _sizes(blocks, grad))
        return grad_attention, grad_products
    grad_products = torch.zeros_like(products)
    padded = F.pad(grad, (0, 0, 1, 1, 1, 1))
    correlation = None
    for tap in range(9):
        view = _shifted(padded, tap, products)
        product, grad_product = products[..., tap, :], grad_products[..., tap, :]
        correlation = view * product if correlation is None else correlation.addcmul_(view, product)
        for i in range(view.shape[2]):
            for j in range(view.shape[4]):
                pixel = slice(None), slice(None), slice(i, i + 1), slice(None), slice(j, j + 1)
                grad_product.addcmul_(view[pixel], blocks[pixel])
    return correlation.sum(-1).view_as(attention), grad_products


def _sizes(blocks: Tensor, maps: Tensor) -> tuple[int, ...]:
    n, rows, height, columns, width, _ = blocks.shape
    return n, rows, columns, height, width, maps.shape[-1]


def _shifted(padded: Tensor, tap: int, products: Tensor) -> Tensor:
    """View of ``[n, h + 2, w + 2, O]``, in blocks, with the outputs to which a tap adds the pixels of each block."""
    top, left = 2 - tap // 3, 2 - tap % 3
    h, w = padded.shape[1] - 2, padded.shape[2] - 2
    return as_blocks(padded[:, top:top + h, left:left + w], products)
