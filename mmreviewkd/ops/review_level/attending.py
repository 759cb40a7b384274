"""Attention and weighing of a chunk of images in one pass, and their adjoint, by compiled functions if there are any.

The steps are those of :mod:`.mixing`, which computes them where nothing is compiled.
"""

import torch
from torch import Tensor

from mmreviewkd.ops.compiled import call, is_compiled

from .chunks import CenteredRows
from .folding import Folded
from .layout import as_blocks
from .matmul import matmul
from .mixing import MixGradients, attend, attend_adjoint, weigh, weigh_adjoint


def attend_and_weigh(
        rows: CenteredRows, coarse: Tensor, folded: Folded, dtype: torch.dtype, attention: Tensor) -> Tensor:
    """Compute the attention maps ``z`` (Eq. 8), and the rows weighed by the first of them, ``y`` (Eq. 9).

    Args:
        rows (CenteredRows): ``c``, ``[n, h, w, C]``.
        coarse (Tensor): ``r``, ``[n, h', 1, w', 1, M]``.
        folded (Folded): The small tensors.
        dtype (torch.dtype): Type of the maps.
        attention (Tensor): ``z``, ``[2, n, h, w]``, which is overwritten.

    Returns:
        Tensor: ``y``, ``[n, h, w, C + 1]``.
    """
    if not _compiled(rows, dtype):
        attention.copy_(attend(rows.centered, coarse, folded))
        return weigh(rows.centered, attention, dtype)
    logits = matmul(coarse, folded.coarse_attention.t())
    n, h, w, channels = rows.values.shape
    weighted = rows.values.new_empty((n, h, w, channels + 1))
    maps = *_contiguous(rows.values, rows.center_or_zero(), folded.attention, logits), *attention, weighted
    call('attend', maps, (*_blocks(rows, coarse), channels))
    return weighted


def weigh_again(rows: CenteredRows, attention: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Weigh the rows by attention maps that are already computed: ``y`` (Eq. 9).

    Args:
        rows (CenteredRows): ``c``, ``[n, h, w, C]``.
        attention (Tensor, optional): ``z``, ``[2, n, h, w]``; None if no residual is fused.
        dtype (torch.dtype): Type of the maps.

    Returns:
        Tensor: ``y``, ``[n, h, w, C + 1]``.
    """
    if attention is None or not _compiled(rows, dtype):
        return weigh(rows.centered, attention, dtype)
    *size, channels = rows.values.shape
    weighted = rows.values.new_empty((*size, channels + 1))
    maps = *_contiguous(rows.values, rows.center_or_zero(), attention[0]), weighted
    call('weigh', maps, (attention[0].numel(), channels))
    return weighted


def attend_and_weigh_adjoint(
        mix: MixGradients, rows: CenteredRows, attention: Tensor, coarse: Tensor, folded: Folded, grads: Folded,
        grad_rows: Tensor) -> Tensor:
    """Adjoint of :func:`attend_and_weigh` (Eq. 17 and 18), to which the gradient of ``r`` in ``mix`` is added.

    Args:
        mix (MixGradients): Gradients of the operands of the fusion.
        rows (CenteredRows): ``c``, ``[n, h, w, C]``.
        attention (Tensor): ``z``, ``[2, n, h, w]``.
        coarse (Tensor): ``r``, ``[n, h', 1, w', 1, M]``.
        folded (Folded): The small tensors.
        grads (Folded): Gradients of the small tensors, to which theirs are added.
        grad_rows (Tensor): ``[n, h, w, C]``, which is overwritten.

    Returns:
        Tensor: The gradient of ``r``, in its shape.
    """
    if not _compiled(rows, coarse.dtype):
        grad_attention = weigh_adjoint(mix, rows.centered, attention, grad_rows)
        return attend_adjoint(
            grad_attention, attention, rows.centered, coarse, folded, grads, grad_rows).add_(mix.coarse)
    channels, depth = rows.values.shape[-1], coarse.shape[-1]
    own, last = (t if _evenly_spaced(t) else t.contiguous() for t in (mix.own, mix.own_attention.unsqueeze(-1)))
    blocks = _blocks(rows, coarse)
    grad_coarse = mix.coarse.contiguous()
    grad_weights, grad_coarse_weights = (
        rows.values.new_empty((blocks[0] * blocks[1], 2, count)) for count in (channels + 1, depth))
    maps = (
        own, last, *_contiguous(
            mix.coarse_attention, rows.values, rows.center_or_zero(), *attention, folded.attention, coarse,
            folded.coarse_attention), grad_rows, grad_coarse, grad_weights, grad_coarse_weights)
    call('attend_adjoint', maps, (*blocks, channels, depth, own.stride(2), last.stride(2)))
    grads.attention.add_(grad_weights.sum(0, dtype=torch.float64))
    grads.coarse_attention.add_(grad_coarse_weights.sum(0, dtype=torch.float64))
    return grad_coarse


def _compiled(rows: CenteredRows, dtype: torch.dtype) -> bool:
    return dtype == torch.float32 and is_compiled(rows.values)


def _blocks(rows: CenteredRows, coarse: Tensor) -> tuple[int, ...]:
    """Images, rows and columns of blocks, and height and width of a block."""
    n, count, height, columns, width, _ = as_blocks(rows.values, coarse).shape
    return n, count, columns, height, width


def _contiguous(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.contiguous() for tensor in tensors)


def _evenly_spaced(rows: Tensor) -> bool:
    """Whether the pixels of ``[n, h, w, K]`` follow one another at the same distance, with their channels together."""
    _, h, w, channels = rows.shape
    step = rows.stride(2)
    return (channels == 1 or rows.stride(3) == 1) and rows.stride()[:2] == (h * w * step, w * step)
