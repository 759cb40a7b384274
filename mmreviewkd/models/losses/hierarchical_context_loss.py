"""The hierarchical context loss (HCL) of Knowledge Review."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import integers, number
from mmreviewkd.utils.errors import strict_keys


def hierarchical_context_loss(
        student_features: Tensor | Sequence[Tensor],
        teacher_features: Tensor | Sequence[Tensor],
        pool_sizes: Sequence[int] = (4, 2, 1)) -> Tensor:
    """Distance of feature maps at several scales of context, summed over the levels (paper, Sec. 3.4).

    At each level the mean squared difference of the maps is joined by that of the maps pooled to ``l x l`` for each
    ``l`` of ``pool_sizes`` that is smaller than the map's height, with weights 1, 1/2, 1/4, ... that are normalized to
    a sum of 1.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map a level.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.
        pool_sizes (Sequence[int]): The sides of the pooled maps, in the order of falling weight.
            Defaults to (4, 2, 1).

    Returns:
        Tensor: The scalar loss.

    Raises:
        ValueError: If the numbers of levels or the shapes at a level differ.
    """
    student_features, teacher_features = paired_levels(student_features, teacher_features)
    return sum(_level_loss(s, t, pool_sizes) for s, t in zip(student_features, teacher_features))


def _level_loss(student: Tensor, teacher: Tensor, pool_sizes: Sequence[int]) -> Tensor:
    sizes = [size for size in pool_sizes if size < student.shape[-2]]
    return _LevelLoss.apply(student, teacher, sizes)


class _LevelLoss(torch.autograd.Function):
    """All scales of a level from one difference, which is all that is kept: pooling is linear."""

    @staticmethod
    def forward(ctx, student: Tensor, teacher: Tensor, sizes: list[int]) -> Tensor:
        difference = student - teacher
        ctx.sizes = sizes
        ctx.save_for_backward(difference)
        scales, _ = _pooled_scales(difference, sizes)
        return sum(factor * _square_mean(scale) for scale, factor in zip(scales, _factors(sizes)))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_loss: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        scales, sources = _pooled_scales(*ctx.saved_tensors, ctx.sizes)
        gathered: list[list[Tensor]] = [[] for _ in scales]
        for i in reversed(range(len(scales))):
            factor = grad_loss * (2 * _factors(ctx.sizes)[i] / scales[i].numel())
            grad = _scaled_plus_unpooled(scales[i], factor, gathered[i])
            if i:
                gathered[sources[i]].append(grad)
        return grad if ctx.needs_input_grad[0] else None, -grad if ctx.needs_input_grad[1] else None, None


def _factors(sizes: list[int]) -> list[float]:
    weights = [0.5**i for i in range(len(sizes) + 1)]
    return [weight / sum(weights) for weight in weights]


def _pooled_scales(difference: Tensor, sizes: list[int]) -> tuple[list[Tensor], list[int]]:
    """The map and its pooled maps, and for each the index of that which it was pooled from."""
    scales, sources = [difference], [0]
    for size in sizes:
        # A mean of means is the mean only where all blocks are of one size.
        chained = [
            i for i, previous in enumerate(sizes[:len(scales) - 1], start=1)
            if previous % size == 0 and _in_blocks(difference, previous)]
        sources.append(chained[-1] if chained else 0)
        scales.append(F.adaptive_avg_pool2d(scales[sources[-1]], size))
    return scales, sources


def _in_blocks(scale: Tensor, size: int) -> bool:
    return scale.shape[-2] % size == 0 and scale.shape[-1] % size == 0


def _scaled_plus_unpooled(scale: Tensor, factor: Tensor, grads: list[Tensor]) -> Tensor:
    """``factor * scale`` and what flows back to ``scale`` from the maps pooled from it."""
    total = None
    for grad in sorted(grads, key=lambda grad: not _in_blocks(scale, grad.shape[-1])):
        size = grad.shape[-1]
        if not _in_blocks(scale, size):
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


def _square_mean(scale: Tensor) -> Tensor:
    # By rows in the order of memory, since a norm adds one after the other what it is given.
    rows = scale.permute(0, 2, 3, 1) if scale.is_contiguous(memory_format=torch.channels_last) else scale
    return torch.linalg.vector_norm(rows.flatten(2), dim=2).square().sum() / scale.numel()


def paired_levels(
        student_features: Tensor | Sequence[Tensor],
        teacher_features: Tensor | Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Check that two sets of maps can be compared level by level, in single precision or better.

    Args:
        student_features (Tensor or Sequence[Tensor]): One ``[N, C_k, H_k, W_k]`` map a level.
        teacher_features (Tensor or Sequence[Tensor]): As many maps of the same shapes.

    Returns:
        tuple: Both as tuples; half-precision maps are raised to float32.

    Raises:
        ValueError: If the numbers of levels or the shapes at a level differ.
    """
    student, teacher = (
        (features,) if isinstance(features, Tensor) else tuple(features)
        for features in (student_features, teacher_features))
    student_shapes, teacher_shapes = [tuple(f.shape) for f in student], [tuple(f.shape) for f in teacher]
    if student_shapes != teacher_shapes:
        raise ValueError(
            f'student and teacher features must have the same shapes to be compared, but are {student_shapes} and '
            f'{teacher_shapes}; a connector brings them together')
    return tuple(map(at_least_single, student)), tuple(map(at_least_single, teacher))


def at_least_single(feature: Tensor) -> Tensor:
    """A map in float32 if it is in half precision, else as it is."""
    return feature.float() if feature.dtype.itemsize < 4 else feature


@MODELS.register_module()
@strict_keys
class HierarchicalContextLoss(nn.Module):
    """See :func:`hierarchical_context_loss`.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.0.
        pool_sizes (Sequence[int]): The sides of the pooled maps. Defaults to (4, 2, 1).

    Raises:
        ConfigError: If the factor is negative or not finite, or a pool size is not a positive integer.
    """

    def __init__(self, loss_weight: float = 1.0, pool_sizes: Sequence[int] = (4, 2, 1)) -> None:
        super().__init__()
        self.loss_weight = number(loss_weight, 'HierarchicalContextLoss: loss_weight', at_least=0)
        self.pool_sizes = integers(pool_sizes, 'HierarchicalContextLoss: pool_sizes', at_least=1)

    def forward(self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
        """The weighted loss of ``[N, C_k, H_k, W_k]`` maps."""
        return self.loss_weight * hierarchical_context_loss(student_features, teacher_features, self.pool_sizes)

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}, pool_sizes={self.pool_sizes}'
