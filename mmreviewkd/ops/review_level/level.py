"""Fast, exact forward and backward pass of a level of the review path (derived in docs/fast_path.md).

In training, ``BN(conv1(s))`` is affine in ``s``, and its variance a quadratic form of the covariance of ``s``. The maps
with ``M`` channels are therefore computed from ``s`` by one product, a few images at a time, and dropped after use; the
backward pass computes them again. For the backward pass a level keeps its two attention maps, in addition to tensors
that are kept anyway: its input, the coarser residual and, unless it is the finest level, its fused map. The
normalization after ``conv2`` is a step of its own (:mod:`.normalization`).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from mmreviewkd.ops.compiled import is_compiled

from .attending import attend_and_weigh, attend_and_weigh_adjoint, weigh_again
from .chunks import Chunks, unit_of
from .compiled_winograd_convolution import CompiledWinogradConvolution
from .composed_convolution import ComposedConvolution
from .direct_convolution import DirectConvolution
from .folding import BatchNorm, Folded, fold, update_running_statistics
from .layout import coarse_rows, coarse_rows_adjoint, resize_rows, resize_rows_adjoint, to_maps, to_rows
from .mixing import MixGradients, fuse, fuse_adjoint
from .moments import Moments, add_moments_adjoint, moments
from .plan import LevelPlan
from .winograd_convolution import WinogradConvolution

CONVOLUTIONS = {'direct': DirectConvolution, 'composed': ComposedConvolution, 'winograd': WinogradConvolution}


def convolution_for(weight: Tensor, plan: LevelPlan) -> type:
    """The class that computes ``conv2`` as planned; a Winograd convolution is compiled where it can be."""
    if plan.convolution == 'winograd' and plan.dtype == torch.float32 and is_compiled(weight):
        return CompiledWinogradConvolution
    return CONVOLUTIONS[plan.convolution]


def review_level(
        feature: Tensor, residual: Tensor | None, conv1: Tensor, norm1: BatchNorm,
        attention: tuple[Tensor, Tensor] | None, conv2: Tensor, plan: LevelPlan) -> tuple[Tensor, Tensor | None]:
    """Compute a level of the review path up to ``conv2`` (paper, Sec. 3.2 and 3.3). Double backward is not supported.

    Args:
        feature (Tensor): The student's feature ``s``, ``[N, C, h, w]``.
        residual (Tensor, optional): The fused map of the next coarser level, ``[N, M, h', w']``.
        conv1 (Tensor): Weight ``[M, C, 1, 1]``.
        norm1 (BatchNorm): Normalization of ``conv1``; its running statistics are updated in place.
        attention (tuple[Tensor, Tensor], optional): Weight ``[2, 2M, 1, 1]`` and bias ``[2]`` of the attention; None if
            the level has no attention; the residual is then not used.
        conv2 (Tensor): Weight ``[O, M, 3, 3]``, or ``[O, M, 1, 1]`` with the direct convolution.
        plan (LevelPlan): How to compute the level.

    Returns:
        tuple[Tensor, Tensor | None]: The output of ``conv2``, ``[N, O, H, W]``, whose normalization is compared with
        the teacher's feature, and the fused map, ``[N, M, H, W]``, or None at the finest level.
    """
    return FusedLevel.apply(
        feature, None if attention is None else residual, conv1, norm1.weight, norm1.bias, *(attention or (None, None)),
        conv2, _Call(norm1, plan))


class _Call(NamedTuple):
    """The non-tensor arguments of a level, and its running statistics."""

    norm1: BatchNorm
    plan: LevelPlan


class FusedLevel(torch.autograd.Function):
    """The level as one node of the autograd graph; see :func:`review_level`."""

    @staticmethod
    def forward(
            ctx: FunctionCtx, feature: Tensor, residual: Tensor | None, weight1: Tensor, gamma1: Tensor, beta1: Tensor,
            att_weight: Tensor | None, att_bias: Tensor | None, weight2: Tensor,
            call: _Call) -> tuple[Tensor, Tensor | None]:
        """The output of ``conv2`` and the fused map."""
        norm1, plan = call
        convolution_class = convolution_for(weight2, plan)
        composed = plan.convolution == 'composed'
        with torch.autocast(feature.device.type, enabled=False):
            # 1. Statistics of conv1, and the small tensors.
            unit = unit_of(feature) if plan.dtype == torch.float16 else None
            scaled1 = weight1 if unit is None else weight1 * unit
            matrix1 = scaled1.flatten(1)
            chunks = Chunks(feature, plan.images, weight1.dtype, unit)
            if norm1.from_batch:
                measured = moments(chunks, matrix1, plan.covariance)
                update_running_statistics(norm1, matrix1, measured, chunks.pixels)
            else:
                measured = Moments(None, None, norm1.running_var)
            folded = fold(
                scaled1, gamma1, beta1, att_weight, att_bias, weight2, measured, norm1.eps, measured.mean,
                norm1.running_mean, convolution_class.kernels)
            convolution = convolution_class(folded.kernels, plan.dtype)

            # 2. Chunk by chunk: attention, fused map, conv2.
            size = plan.shape.target_size
            attention = None if residual is None else feature.new_empty((2, *chunks.grid), dtype=weight1.dtype)
            fused_rows = None
            if not plan.shape.is_finest or plan.keeps_fused:
                fused_rows = feature.new_empty((len(feature), *size, len(weight1)), dtype=plan.dtype)
            convolved = None
            if len(chunks.parts) > 1:
                convolved = feature.new_empty((len(feature), *size, len(weight2)), dtype=plan.dtype)
            for part in chunks.parts:
                rows = chunks.rows(part, measured.mean)
                coarse = z = None
                if residual is None:
                    weighted = weigh_again(rows, None, plan.dtype)
                else:
                    coarse, z = coarse_rows(residual[part], chunks.grid[1:], plan.dtype), attention[:, part]
                    weighted = attend_and_weigh(rows, coarse, folded, plan.dtype, z)
                if not composed or fused_rows is not None:
                    kept = None if fused_rows is None else fused_rows[part]
                    as_kept = kept is not None and kept.shape[1:3] == chunks.grid[1:]
                    fused = resize_rows(fuse(weighted, z, coarse, folded, kept if as_kept else None), size)
                    if kept is not None and not as_kept:
                        kept.copy_(fused)
                operands = (weighted, z[1], coarse) if composed else (fused,)
                found = convolution.forward(*operands, out=None if convolved is None else convolved[part])
            convolved = to_maps(found if convolved is None else convolved)
        ctx.set_materialize_grads(False)
        ctx.call = call
        ctx.save_for_backward(
            feature, residual, weight1, gamma1, beta1, att_weight, att_bias, weight2, attention,
            fused_rows if plan.keeps_fused else None, unit, *measured,
            None if norm1.from_batch else norm1.running_mean)
        return convolved, None if plan.shape.is_finest else to_maps(fused_rows)

    @staticmethod
    @once_differentiable
    def backward(
            ctx: FunctionCtx, grad_convolved: Tensor | None, grad_fused: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients of the arguments of :meth:`forward`."""
        if grad_convolved is None and grad_fused is None:
            return (None,) * 9
        given = grad_convolved if grad_fused is None else grad_fused
        with torch.autocast(given.device.type, enabled=False):
            return _backward(ctx, grad_convolved, grad_fused)


def _backward(
        ctx: FunctionCtx, grad_convolved: Tensor | None, grad_fused: Tensor | None) -> tuple[Tensor | None, ...]:
    (feature, residual, weight1, gamma1, beta1, att_weight, att_bias, weight2, attention, kept_fused, unit,
     *measured, running_mean1) = ctx.saved_tensors
    norm1, plan = ctx.call
    measured, dtype, size = Moments(*measured), plan.dtype, plan.shape.target_size
    composed = plan.convolution == 'composed'
    chunks = Chunks(feature, plan.images, weight1.dtype, unit)
    scaled1 = weight1 if unit is None else weight1 * unit

    # 1. The small tensors, computed again as a graph of the parameters and moments.
    leaves = [
        None if t is None else t.detach().requires_grad_()
        for t in (scaled1, gamma1, beta1, att_weight, att_bias, weight2, *measured)]
    convolution_class = convolution_for(weight2, plan) if grad_convolved is not None else None
    with torch.enable_grad():
        graph = fold(
            *leaves[:6], Moments(*leaves[6:]), norm1.eps, measured.mean, running_mean1,
            _no_kernels if convolution_class is None else convolution_class.kernels)
    folded = Folded(*(t if t is None else t.detach() for t in graph[:3]), tuple(k.detach() for k in graph.kernels))
    grads = Folded(*(t if t is None else torch.zeros_like(t) for t in folded[:3]), ())

    # 2. Chunk by chunk, with the maps computed again: the adjoints of conv2, fused map, attention.
    convolution = None if convolution_class is None else convolution_class(folded.kernels, dtype)
    grad_rows = feature.new_empty((*chunks.grid, feature.shape[1]), dtype=weight1.dtype)
    grad_residual = None
    if residual is not None and len(chunks.parts) > 1:
        grad_residual = torch.empty_like(residual, dtype=dtype, memory_format=torch.channels_last)
    for part in chunks.parts:
        rows = chunks.rows(part, measured.mean)
        coarse = z = None
        if residual is not None:
            coarse, z = coarse_rows(residual[part], chunks.grid[1:], dtype), attention[:, part]
        weighted = weigh_again(rows, z, dtype)
        mix, grad = MixGradients(), None if grad_fused is None else to_rows(grad_fused[part])
        if convolution is not None and composed:
            grad_weighted, *grad_coarse = convolution.backward(to_rows(grad_convolved[part]), weighted, z[1], coarse)
            mix = MixGradients(grad_weighted[..., :-1], grad_weighted[..., -1], *grad_coarse)
        elif convolution is not None:
            fused = kept_fused[part] if kept_fused is not None else resize_rows(
                fuse(weighted, z, coarse, folded), size)
            through_conv2 = convolution.backward(to_rows(grad_convolved[part]), fused)
            grad = through_conv2 if grad is None else through_conv2.add_(grad)
            del fused, through_conv2
        if grad is not None:
            grad = resize_rows_adjoint(grad, chunks.grid[1:])
            own = convolution is not None and not composed  # not the gradient that autograd passed
            mix = fuse_adjoint(grad, weighted, z, coarse, folded, grads, overwrite=own).plus(mix)
        if residual is None:
            grad_rows[part] = mix.own
            continue
        grad_coarse = attend_and_weigh_adjoint(mix, rows, z, coarse, folded, grads, grad_rows[part])
        grad_coarse = coarse_rows_adjoint(grad_coarse, residual.shape[-2:])
        if grad_residual is None:
            grad_residual = grad_coarse
        else:
            grad_residual[part] = grad_coarse
    rows = weighted = mix = grad = grad_coarse = None  # frees the last chunk

    # 3. From the small tensors to parameters and moments, by autograd.
    grads = grads._replace(kernels=() if convolution is None else convolution.gradients)
    there = [leaf for leaf in leaves if leaf is not None]
    found = iter(torch.autograd.grad(graph.tensors(), there, grads.tensors(), allow_unused=True))
    grad_leaves = [None if leaf is None else next(found) for leaf in leaves]

    # 4. Through the batch's statistics to the input.
    if norm1.from_batch:
        through_variance = add_moments_adjoint(
            grad_rows, Moments(*grad_leaves[6:]), chunks, scaled1.flatten(1), measured.mean)
        if through_variance is not None:
            grad_leaves[0] += through_variance.view_as(weight1)

    if unit is not None:
        grad_leaves[0] = grad_leaves[0] * unit
        grad_rows /= unit
    grad_feature = to_maps(grad_rows).to(feature.dtype)
    if feature.is_contiguous() and not feature.is_contiguous(memory_format=torch.channels_last):
        grad_feature = grad_feature.contiguous()
    return (
        grad_feature if ctx.needs_input_grad[0] else None,
        None if residual is None else grad_residual.to(residual.dtype), *grad_leaves[:6], None)


def _no_kernels(weight: Tensor, affine: Tensor) -> tuple[Tensor, ...]:
    """Placeholder for a convolution's kernels if the output has no gradient."""
    return ()
