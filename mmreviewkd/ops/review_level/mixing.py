"""Fusing a chunk of images with the coarser residual, and the adjoint of every step.

Each step is followed by its adjoint. ``rows`` are ``c``, ``[n, h, w, C]``; ``coarse`` is ``r``,
``[n, h', 1, w', 1, M]`` (see :mod:`.layout`); ``attention`` is ``z``, ``[2, n, h, w]``. Gradients of the small tensors
are added to ``grads``.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mmreviewkd.ops.compiled import call, is_compiled

from .folding import Folded
from .layout import as_blocks
from .matmul import add_matmul, add_transposed_matmul, matmul

# Blocks larger than this are summed by one reduction, smaller ones by a loop over the pixels of a block.
_MOST_BLOCK_PIXELS = 16


# 1. Attention.

def attend(rows: Tensor, coarse: Tensor, folded: Folded) -> Tensor:
    """Attention maps ``z = sigmoid(att_conv([x ; u]))``, ``[2, n, h, w]`` (Eq. 8).

    Computed without materializing ``x`` and ``u``.
    """
    logits = matmul(rows, folded.attention[:, :-1].t()).add_(folded.attention[:, -1])
    as_blocks(logits, coarse).add_(matmul(coarse, folded.coarse_attention.t().to(coarse.dtype)))
    return logits.sigmoid_().movedim(-1, 0)


def attend_adjoint(
        grad_attention: Tensor, attention: Tensor, rows: Tensor, coarse: Tensor, folded: Folded, grads: Folded,
        grad_rows: Tensor) -> Tensor:
    """Adjoint of :func:`attend`; adds to ``grad_rows`` and returns the gradient of ``coarse`` (Eq. 18)."""
    logits = (grad_attention * attention * (1 - attention)).movedim(0, -1)
    flat = logits.reshape(-1, 2)
    add_transposed_matmul(grads.attention[:, :-1], flat, rows.flatten(0, 2))
    grads.attention[:, -1].add_(flat.sum(0))
    add_matmul(grad_rows.view(-1, grad_rows.shape[-1]), flat, folded.attention[:, :-1])
    pooled = as_blocks(logits, coarse).sum((2, 4), keepdim=True).to(coarse.dtype)
    grads.coarse_attention.add_(pooled.flatten(0, 4).t() @ coarse.flatten(0, 4))
    return matmul(pooled, folded.coarse_attention.to(coarse.dtype))


# 2. The level's own summand of the fused map, before its channels are mixed.

def weigh(rows: Tensor, attention: Tensor | None, dtype: torch.dtype) -> Tensor:
    """``y = z0 [c ; 1]``, ``[n, h, w, C + 1]``; ``z0`` is 1 if no residual is fused (Eq. 9)."""
    weighted = rows.new_empty((*rows.shape[:3], rows.shape[3] + 1), dtype=dtype)
    if attention is None:
        weighted[..., :-1] = rows
        weighted[..., -1] = 1
    else:
        torch.mul(rows, attention[0].unsqueeze(-1), out=weighted[..., :-1])
        weighted[..., -1] = attention[0]
    return weighted


class MixGradients(NamedTuple):
    """Gradients of the operands of the fusion; None for an operand that is not there.

    Args:
        own (Tensor, optional): Gradient of ``z0 c``, the first ``C`` channels of ``y``, ``[n, h, w, C]``.
        own_attention (Tensor, optional): Gradient of ``z0``, the last channel of ``y``, ``[n, h, w]``.
        coarse_attention (Tensor, optional): Gradient of ``z1``, ``[n, h, w]``.
        coarse (Tensor, optional): Gradient of ``r``, ``[n, h', 1, w', 1, M]``.
    """

    own: Tensor | None = None
    own_attention: Tensor | None = None
    coarse_attention: Tensor | None = None
    coarse: Tensor | None = None

    def plus(self, other: 'MixGradients') -> 'MixGradients':
        """The sum; written into ``self`` if both gradients are there."""
        return MixGradients(*(b if a is None else a if b is None else a.add_(b) for a, b in zip(self, other)))


def weigh_adjoint(mix: MixGradients, rows: Tensor, attention: Tensor, grad_rows: Tensor) -> Tensor:
    """Adjoint of :func:`weigh`: overwrites ``grad_rows``, returns the gradient of ``z`` (Eq. 17)."""
    torch.mul(mix.own, attention[0].unsqueeze(-1), out=grad_rows)
    return torch.stack(((mix.own * rows).sum(-1) + mix.own_attention, mix.coarse_attention))


# 3. The fused map.

def fuse(
        weighted: Tensor, attention: Tensor | None, coarse: Tensor | None, folded: Folded,
        out: Tensor | None = None) -> Tensor:
    """``f = [A b] y + z1 u``, ``[n, h, w, M]`` (Eq. 10), written to ``out`` if it is given."""
    affine = folded.affine.to(weighted.dtype).t()
    if attention is None:
        fused = matmul(weighted, affine)
        return fused if out is None else out.copy_(fused)
    out = weighted.new_empty((*weighted.shape[:3], len(folded.affine))) if out is None else out
    if is_compiled(weighted) and out.is_contiguous():
        n, rows, height, columns, width, channels = as_blocks(out, coarse).shape
        maps = *(t.contiguous() for t in (weighted, folded.affine, attention[1], coarse)), out
        call('fuse', maps, (n, rows, columns, height, width, weighted.shape[-1], channels))
        return out
    torch.mul(as_blocks(attention[1].to(weighted.dtype).unsqueeze(-1), coarse), coarse, out=as_blocks(out, coarse))
    add_matmul(out.view(-1, out.shape[-1]), weighted.flatten(0, 2), affine)
    return out


def fuse_adjoint(
        grad: Tensor, weighted: Tensor, attention: Tensor | None, coarse: Tensor | None, folded: Folded,
        grads: Folded, overwrite: bool = False) -> MixGradients:
    """Adjoint of :func:`fuse` for the gradient ``g`` of the fused map, ``[n, h, w, M]`` (Eq. 14 to 16).

    With ``overwrite``, ``grad`` may be used as memory for other values.
    """
    dtype, flat = grads.affine.dtype, grad.flatten(0, 2)
    add_transposed_matmul(grads.affine, flat, weighted.flatten(0, 2))
    through_y = matmul(grad, folded.affine.to(grad.dtype))
    own, own_attention = through_y[..., :-1], through_y[..., -1]
    if attention is None:
        return MixGradients(own)
    of_residual = _coarse_adjoint(grad, attention[1].to(grad.dtype), coarse, dtype, overwrite)
    return MixGradients(own, own_attention, *of_residual)


def _coarse_adjoint(
        grad: Tensor, attention: Tensor, coarse: Tensor, dtype: torch.dtype, overwrite: bool) -> tuple[Tensor, Tensor]:
    """Gradients of ``z1``, ``[n, h, w]``, and of the residual, in the shape of ``coarse`` (Eq. 15 and 16)."""
    if not is_compiled(grad):
        grad_coarse = _sum_over_blocks(grad, attention, coarse)
        products = as_blocks(grad, coarse)
        products = products.mul_(coarse) if overwrite else products * coarse
        return products.sum(-1, dtype=dtype).view(grad.shape[:3]), grad_coarse
    grad, attention, coarse = grad.contiguous(), attention.contiguous(), coarse.contiguous()
    grad_attention, grad_coarse = torch.empty_like(attention), torch.empty_like(coarse)
    n, rows, height, columns, width, channels = as_blocks(grad, coarse).shape
    maps = grad, attention, coarse, grad_attention, grad_coarse
    call('coarse_adjoint', maps, (n, rows, columns, height, width, channels))
    return grad_attention, grad_coarse


def _sum_over_blocks(grad: Tensor, attention: Tensor, coarse: Tensor) -> Tensor:
    """``z1 g`` summed over the pixels of each block, in the shape of ``coarse`` (Eq. 16)."""
    grad, attention = as_blocks(grad, coarse), as_blocks(attention.unsqueeze(-1), coarse)
    n, rows, height, columns, width, channels = grad.shape
    if rows == columns == 1:
        return (attention.reshape(n, 1, -1) @ grad.reshape(n, -1, channels)).view_as(coarse)
    if height * width > _MOST_BLOCK_PIXELS:
        return (grad * attention).sum((2, 4), keepdim=True)
    total = grad[:, :, :1, :, :1] * attention[:, :, :1, :, :1]
    for i in range(height):
        for j in range(width):
            if i or j:
                total.addcmul_(grad[:, :, i:i + 1, :, j:j + 1], attention[:, :, i:i + 1, :, j:j + 1])
    return total
