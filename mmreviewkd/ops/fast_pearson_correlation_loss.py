"""Loss of Pearson correlation of one level, with a hand-written backward pass."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from .feature_pairs import at_least_single
from .review_level.folding import BatchNorm
from .review_level.normalization import Unnormalized, normalize
from .standardization import SMALLEST_VARIANCE, check_values


def fast_level_pearson(student: Tensor | Unnormalized, teacher: Tensor) -> Tensor:
    """Compute :func:`~mmreviewkd.ops.pearson_correlation_loss.level_pearson` from moments, and keep one map.

    The loss is a scalar, so its gradient is known up to a factor in the forward pass. Of maps before a normalization by
    the batch's statistics, the standardized map is the normalized one but for a factor of each channel, so both are
    computed at once. In each channel the gradient is a linear combination of the normalized maps of student and
    teacher. Double backward is not supported.

    Args:
        student (Tensor or Unnormalized): ``[N, C, H, W]``, or the maps before their normalization, whose running
            statistics are updated.
        teacher (Tensor): ``[N, C, H, W]``, without gradients.

    Returns:
        Tensor: The scalar loss.

    Raises:
        ValueError: If a channel has a single value.
    """
    if isinstance(student, Unnormalized) and not student.norm.from_batch:
        student = at_least_single(student.normalized())
    check_values(teacher)
    if isinstance(student, Unnormalized):
        norm = student.norm
        return _LevelPearson.apply(
            student.maps, norm.weight, norm.bias, teacher, norm, torch.is_grad_enabled())
    return _LevelPearson.apply(student, None, None, teacher, None, torch.is_grad_enabled())


class _LevelPearson(torch.autograd.Function):

    @staticmethod
    def forward(
            ctx: FunctionCtx, maps: Tensor, weight: Tensor | None, bias: Tensor | None, teacher: Tensor,
            norm: BatchNorm | None, with_gradient: bool) -> Tensor:
        ctx.dtype = maps.dtype
        with torch.autocast(maps.device.type, enabled=False):
            maps = at_least_single(maps)
            x, inverse_std, variance = _normalized(maps, norm)
            y, _, teacher_variance = _normalized(teacher, None)
            product = (x * y).mean((0, 2, 3))
            pixels, channels = maps.numel() // maps.shape[1], maps.shape[1]
            # docs/fast_path.md, Eq. 28 and 29 over the channels, then Eq. 26; the standardized map is `gain * x`.
            own = 1 / channels / pixels
            if norm is None:
                gain, correlation = 1.0, product
                along_x, along_y = inverse_std * (1 - variance + product) * own, -inverse_std * own
            else:
                outer = (weight.square() * variance + SMALLEST_VARIANCE).rsqrt()
                gain = weight * outer
                correlation = gain * product
                of_output = gain * (1 - gain.square() * variance + correlation)
                of_weight = (of_output * variance - product) * outer * own  # mean of the output's gradient times x
                along_x = weight * inverse_std * (of_output * outer * own - of_weight)
                along_y = -weight * inverse_std * outer * own
            loss = ((gain * gain * variance + teacher_variance) / 2 - correlation).mean().clamp_min(0)
            if with_gradient and any(ctx.needs_input_grad[:3]):
                gradient = x.mul_(along_x[:, None, None]).addcmul_(y, along_y[:, None, None])
                kept = [gradient] if norm is None else [gradient, of_weight * pixels]
                ctx.save_for_backward(*kept)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        maps, *weight = (kept * grad_loss for kept in ctx.saved_tensors)
        bias = [torch.zeros_like(w) for w in weight]  # adding a constant to a channel changes nothing
        grads = [maps.to(ctx.dtype), *(weight + bias or [None, None])]
        return *(g if needed else None for g, needed in zip(grads, ctx.needs_input_grad)), None, None, None


def _normalized(maps: Tensor, norm: BatchNorm | None) -> tuple[Tensor, Tensor, Tensor]:
    """Maps normalized by the batch's statistics, without weight and bias.

    Args:
        maps (Tensor): ``[N, C, H, W]``.
        norm (BatchNorm, optional): The normalization. None standardizes.

    Returns:
        tuple[Tensor, Tensor, Tensor]: The maps, the inverse standard deviation by which they were divided, and the
        variance of the result, which ``eps`` keeps just below 1, ``[C]`` each.
    """
    one, zero = maps.new_ones(maps.shape[1]), maps.new_zeros(maps.shape[1])
    plain = BatchNorm(one, zero, zero, one, True, None, SMALLEST_VARIANCE) if norm is None else norm._replace(
        weight=one, bias=zero)
    output, _, inverse_std = normalize(maps, plain)
    return output, inverse_std, 1 - plain.eps * inverse_std.square()
