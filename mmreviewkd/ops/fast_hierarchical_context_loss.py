"""HCL of one level from a single difference map, with its gradient."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .compiled.comparing import compares
from .compiled_hierarchical_context_loss import has_large_cells, hcl_and_gradients
from .feature_pairs import at_least_single
from .known_gradients import gradients_wanted, with_gradients
from .review_level.normalization import Unnormalized, normalize, normalize_adjoint
from .review_level.plan import DEVICE_CHUNK_BYTES


def fast_level_hcl(
        student: Tensor | Unnormalized, teacher: Tensor, pool_sizes: Sequence[int] = (4, 2, 1)) -> Tensor:
    """Compute :func:`~mmreviewkd.ops.hierarchical_context_loss.level_hcl` from one difference map.

    Pooling is linear, ``pool(s) - pool(t) = pool(s - t)``, so only ``d = s - t`` is pooled. If the pooling windows of a
    smaller map are whole blocks of pixels of a larger one, it is pooled from that one instead of from ``d``.

    The loss is a scalar, so its gradient is known up to a factor in the forward pass, which computes it and keeps it
    instead of ``d``. Before a normalization, the gradient is taken through the normalization, too, so neither its input
    nor its output is kept. Double backward is not supported.

    Args:
        student (Tensor or Unnormalized): ``[N, C, H, W]``, or the maps before their normalization, whose running
            statistics are updated.
        teacher (Tensor): ``[N, C, H, W]``.
        pool_sizes (Sequence[int]): Sides of the pooled maps in pixels, in order of decreasing weight.
            Defaults to (4, 2, 1).

    Returns:
        Tensor: The scalar loss.
    """
    if isinstance(student, Unnormalized) and teacher.requires_grad:
        student = at_least_single(student.normalized())
    if isinstance(student, Unnormalized):
        return _before_normalization(student, teacher, pool_sizes)
    wanted = gradients_wanted((student, teacher))
    with torch.no_grad():
        loss, gradient = _loss_and_gradient(at_least_single(student) - teacher, pool_sizes, wanted)
    return with_gradients(loss, (student, teacher), (gradient, -gradient if teacher.requires_grad else None)) \
        if wanted else loss


def _before_normalization(student: Unnormalized, teacher: Tensor, pool_sizes: Sequence[int]) -> Tensor:
    maps, norm = student.maps, student.norm
    inputs = maps, norm.weight, norm.bias
    wanted = gradients_wanted(inputs)
    with torch.no_grad(), torch.autocast(maps.device.type, enabled=False):
        loss, gradients = _loss_and_gradients(student, teacher, pool_sizes, wanted)
    return with_gradients(loss, inputs, gradients) if wanted else loss


def _loss_and_gradients(
        student: Unnormalized, teacher: Tensor, pool_sizes: Sequence[int],
        wanted: bool) -> tuple[Tensor, Sequence[Tensor] | None]:
    """The loss, and if they are wanted its gradients: of the maps, and of the weight and bias of the normalization."""
    maps, norm = student.maps, student.norm
    sizes = _smaller(pool_sizes, maps)
    if compares(maps, teacher) and has_large_cells(maps, sizes):
        return hcl_and_gradients(student, teacher, sizes, _weights(sizes), wanted)
    output, mean, inverse_std = normalize(maps, norm)
    if wanted and maps.dtype == torch.bfloat16:
        loss = _replace_by_gradient(output, teacher, pool_sizes)
        return loss, normalize_adjoint(output, maps, norm, mean, inverse_std)
    difference = at_least_single(output).sub_(teacher)
    del output
    loss, gradient = _loss_and_gradient(difference, pool_sizes, wanted)
    del difference
    if not wanted:
        return loss, None
    return loss, normalize_adjoint(gradient, at_least_single(maps), norm, mean, inverse_std)


def _replace_by_gradient(student: Tensor, teacher: Tensor, pool_sizes: Sequence[int]) -> Tensor:
    """The loss of bfloat16 maps ``[N, C, H, W]``; overwrites ``student`` by its gradient.

    Only some images at a time are copied to float32. bfloat16 holds the gradient of a mean over many values; float16
    could not.
    """
    images = max(1, DEVICE_CHUNK_BYTES // (4 * student[0].numel()))
    losses = []
    for part, other in zip(student.split(images), teacher.split(images)):
        loss, gradient = _loss_and_gradient(part.float().sub_(other), pool_sizes, True, len(part) / len(student))
        part.copy_(gradient)
        losses.append(loss)
    return sum(losses)


def _loss_and_gradient(
        difference: Tensor, pool_sizes: Sequence[int], with_gradient: bool,
        factor: float = 1.0) -> tuple[Tensor, Tensor | None]:
    """``factor`` times the loss of a difference map, and its gradient if it is wanted, written over the difference."""
    sizes = _smaller(pool_sizes, difference)
    scales, sources = _pool(difference, sizes)
    weights = [factor * weight for weight in _weights(sizes)]
    loss = sum(weight * _mean_square(scale) for scale, weight in zip(scales, weights))
    if not with_gradient:
        return loss, None
    # From the last pooled map back to the difference, scales[0]: the gradient of weight * mean(d^2) is
    # 2 * weight / size * d, plus the gradients of the maps that were pooled from this one.
    pooled_grads: list[list[Tensor]] = [[] for _ in scales]
    for i in reversed(range(len(scales))):
        gradient = _add_pooling_gradients(scales[i], 2 * weights[i] / scales[i].numel(), pooled_grads[i])
        if i:
            pooled_grads[sources[i]].append(gradient)
    return loss, gradient


def _smaller(pool_sizes: Sequence[int], maps: Tensor) -> list[int]:
    """The sides of pooled maps that are smaller than the height of ``[N, C, H, W]``."""
    return [size for size in pool_sizes if size < maps.shape[-2]]


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
        scales.append(_average(scales[sources[-1]], size))
    return scales, sources


def _average(scale: Tensor, size: int) -> Tensor:
    """``F.adaptive_avg_pool2d(scale, size)``; on GPUs as a reduction where it can be one.

    There the pooling of channels_last maps takes ten times the time of that of NCHW maps if there are few images.
    """
    if scale.device.type == 'cpu' or not _divides_evenly(scale, size):
        return F.adaptive_avg_pool2d(scale, size)
    return _block_means(scale, size)


def _block_means(scale: Tensor, size: int) -> Tensor:
    """Means of ``[N, C, H, W]`` over ``size x size`` blocks of pixels, ``[N, C, size, size]``."""
    return scale.unflatten(3, (size, -1)).unflatten(2, (size, -1)).mean((3, 5))


def _divides_evenly(scale: Tensor, size: int) -> bool:
    """Whether pooling to ``size x size`` averages blocks of one size."""
    return scale.shape[-2] % size == 0 and scale.shape[-1] % size == 0


def _add_pooling_gradients(scale: Tensor, factor: float, grads: list[Tensor]) -> Tensor:
    """Overwrite ``scale`` by ``factor * scale`` plus the adjoint of pooling of each of ``grads``, ``[N, C, l, l]``."""
    scaled = False
    # Maps with equal blocks first: the first of them and the factor take a single pass.
    for grad in sorted(grads, key=lambda grad: not _divides_evenly(scale, grad.shape[-1])):
        size = grad.shape[-1]
        if not _divides_evenly(scale, size):
            scale = scale if scaled else scale.mul_(factor)
            scale += torch.ops.aten._adaptive_avg_pool2d_backward(grad, scale)
        else:
            blocks = scale.view(*scale.shape[:2], size, scale.shape[-2] // size, size, scale.shape[-1] // size)
            grad = (grad / (blocks.shape[3] * blocks.shape[5]))[:, :, :, None, :, None]
            torch.add(grad, blocks, alpha=1 if scaled else factor, out=blocks)
        scaled = True
    return scale if scaled else scale.mul_(factor)


def _mean_square(scale: Tensor) -> Tensor:
    # A norm sums its values sequentially; norms of single rows, in memory order, have smaller rounding errors.
    rows = scale.permute(0, 2, 3, 1) if scale.is_contiguous(memory_format=torch.channels_last) else scale
    return torch.linalg.vector_norm(rows.flatten(2), dim=2).square().sum() / scale.numel()
