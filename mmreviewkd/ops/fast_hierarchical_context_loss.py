"""HCL of one level from a single difference map, with a hand-written backward pass."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def fast_level_hcl(student: Tensor, teacher: Tensor, pool_sizes: Sequence[int] = (4, 2, 1)) -> Tensor:
    """Compute :func:`~mmreviewkd.ops.hierarchical_context_loss.level_hcl` from one difference map.

    Pooling is linear, ``pool(s) - pool(t) = pool(s - t)``, so only ``d = s - t`` is pooled, and only ``d`` is kept for
    the backward pass. If the pooling windows of a smaller map are whole blocks of pixels of a larger one, it is pooled
    from that one instead of from ``d``. Double backward is not supported.

    Args:
        student (Tensor): ``[N, C, H, W]``.
        teacher (Tensor): ``[N, C, H, W]``.
        pool_sizes (Sequence[int]): Sides of the pooled maps in pixels, in order of decreasing weight.
            Defaults to (4, 2, 1).

    Returns:
        Tensor: The scalar loss.
    """
    return _LevelHCL.apply(student, teacher, [size for size in pool_sizes if size < student.shape[-2]])


class _LevelHCL(torch.autograd.Function):

    @staticmethod
    def forward(ctx: FunctionCtx, student: Tensor, teacher: Tensor, sizes: list[int]) -> Tensor:
        difference = student - teacher
        ctx.sizes = sizes
        ctx.save_for_backward(difference)
        scales, _ = _pool(difference, sizes)
        return sum(weight * _mean_square(scale) for scale, weight in zip(scales, _weights(sizes)))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_loss: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        scales, sources = _pool(*ctx.saved_tensors, ctx.sizes)
        weights = _weights(ctx.sizes)
        # From the last pooled map back to the difference, scales[0]: the gradient of weight * mean(d^2) is
        # 2 * weight / size * d, plus the gradients of the maps that were pooled from this one.
        pooled_grads: list[list[Tensor]] = [[] for _ in scales]
        for i in reversed(range(len(scales))):
            factor = grad_loss * (2 * weights[i] / scales[i].numel())
            grad = _add_pooling_gradients(scales[i], factor, pooled_grads[i])
            if i:
                pooled_grads[sources[i]].append(grad)
        return grad if ctx.needs_input_grad[0] else None, -grad if ctx.needs_input_grad[1] else None, None


def _weights(sizes: list[int]) -> list[float]:
    """1, 1/2, 1/4, ... for the difference and its pooled maps, divided by their sum."""
    weights = [0.5**i for i in range(len(sizes) + 1)]
    return [weight / sum(weights) for weight in weights]


def _pool(difference: Tensor, sizes: list[int]) -> tuple[list[Tensor], list[int]]:
    """The difference and its pooled maps, and for each map the index of the map it was pooled from."""
    scales, sources = [difference], [0]
    for size in sizes:
        # The mean of block means is the mean of all pixels only where all blocks have one size.
        chained = [
            i for i, previous in enumerate(sizes[:len(scales) - 1], start=1)
            if previous % size == 0 and _divides_evenly(difference, previous)]
        sources.append(chained[-1] if chained else 0)
        scales.append(F.adaptive_avg_pool2d(scales[sources[-1]], size))
    return scales, sources


def _divides_evenly(scale: Tensor, size: int) -> bool:
    """Whether pooling to ``size x size`` averages blocks of one size."""
    return scale.shape[-2] % size == 0 and scale.shape[-1] % size == 0


def _add_pooling_gradients(scale: Tensor, factor: Tensor, grads: list[Tensor]) -> Tensor:
    """``factor * scale`` plus the adjoint of pooling of each of ``grads``, all ``[N, C, l, l]``."""
    total = None
    # Maps with equal blocks first: the first of them writes `total` in a single pass.
    for grad in sorted(grads, key=lambda grad: not _divides_evenly(scale, grad.shape[-1])):
        size = grad.shape[-1]
        if not _divides_evenly(scale, size):
            total = scale * factor if total is None else total
            total += torch.ops.aten._adaptive_avg_pool2d_backward(grad, scale)
            continue
        blocks = [size, scale.shape[-2] // size, size, scale.shape[-1] // size]
        grad = (grad / (blocks[1] * blocks[3]))[:, :, :, None, :, None]
        if total is None:
            total = torch.addcmul(grad, scale.view(*scale.shape[:2], *blocks), factor).reshape(scale.shape)
        else:
            total.view(*scale.shape[:2], *blocks).add_(grad)
    return scale * factor if total is None else total


def _mean_square(scale: Tensor) -> Tensor:
    # A norm sums its values sequentially; norms of single rows, in memory order, have smaller rounding errors.
    rows = scale.permute(0, 2, 3, 1) if scale.is_contiguous(memory_format=torch.channels_last) else scale
    return torch.linalg.vector_norm(rows.flatten(2), dim=2).square().sum() / scale.numel()
