"""The normalization after ``conv2``, with sums that stay accurate over many pixels.

On CPUs, PyTorch's batch normalization of channels_last maps sums all pixels sequentially in float32. With 65,536 pixels
its error is up to 1e-5, which every gradient computed from it inherits. Here the pixels are summed in groups, and the
sums of the groups are combined (docs/fast_path.md, Eq. 24 to 26), in compiled functions where there are any. Other
devices and half precision use PyTorch's batch normalization.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from mmreviewkd.ops.compiled import is_compiled
from mmreviewkd.ops.compiled.comparing import channel_moments

from .folding import BatchNorm
from .layout import to_maps

# Gradients inherit the error of mean and variance over all pixels, so these are summed in smaller groups.
STATISTICS_GROUP, GRADIENT_GROUP = 512, 2048
ROW_WIDTH = 512


@dataclass(frozen=True)
class Unnormalized:
    """Maps before their normalization.

    Args:
        maps (Tensor): ``h``, ``[N, O, H, W]``.
        norm (BatchNorm): The normalization; its running statistics are updated when it is computed, which is to be done
            once.
    """

    maps: Tensor
    norm: BatchNorm

    @property
    def shape(self) -> torch.Size:
        """The shape of the maps."""
        return self.maps.shape

    def without_update(self) -> 'Unnormalized':
        """The same maps, whose normalization leaves the running statistics as they are, to be computed once more."""
        return replace(self, norm=self.norm._replace(momentum=None))

    def normalized(self) -> Tensor:
        """The normalized maps, ``[N, O, H, W]``. Double backward is not supported."""
        return _Normalized.apply(self.maps, self.norm.weight, self.norm.bias, self.norm)


class _Normalized(torch.autograd.Function):

    @staticmethod
    def forward(ctx: FunctionCtx, maps: Tensor, weight: Tensor, bias: Tensor, norm: BatchNorm) -> Tensor:
        with torch.autocast(maps.device.type, enabled=False):
            output, mean, inverse_std = normalize(maps, norm._replace(weight=weight, bias=bias))
        ctx.norm = norm
        ctx.save_for_backward(
            maps, weight, mean, inverse_std,
            *((None, None) if norm.from_batch else (norm.running_mean, norm.running_var)))
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        maps, weight, mean, inverse_std, running_mean, running_var = ctx.saved_tensors
        norm = ctx.norm._replace(weight=weight, running_mean=running_mean, running_var=running_var)
        with torch.autocast(grad.device.type, enabled=False):
            return *normalize_adjoint(grad, maps, norm, mean, inverse_std), None


def normalize(maps: Tensor, norm: BatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize, and update the running statistics.

    Args:
        maps (Tensor): ``h``, ``[N, O, H, W]``.
        norm (BatchNorm): The normalization.

    Returns:
        tuple[Tensor, Tensor, Tensor]: The normalized maps, and the batch's mean and inverse standard deviation, ``[O]``
        each, for :func:`normalize_adjoint`, which may be in float64.
    """
    if not _groups_pay(maps, norm):
        unchanged = norm.from_batch and norm.momentum is None
        return torch.native_batch_norm(
            maps, norm.weight, norm.bias, *((None, None) if unchanged else (norm.running_mean, norm.running_var)),
            norm.from_batch, norm.momentum or 0.0, norm.eps)
    mean, variance = batch_statistics(maps, norm)
    inverse_std = (variance + norm.eps).rsqrt()
    mean, variance = mean.to(maps.dtype), variance.to(maps.dtype)
    output, _, _ = torch.native_batch_norm(maps, norm.weight, norm.bias, mean, variance, False, 0.0, norm.eps)
    return output, mean, inverse_std


def batch_statistics(maps: Tensor, norm: BatchNorm) -> tuple[Tensor, Tensor]:
    """Mean and variance of the batch, with which the running statistics are updated.

    Args:
        maps (Tensor): ``h``, ``[N, O, H, W]``, in the channels_last memory format.
        norm (BatchNorm): The normalization.

    Returns:
        tuple[Tensor, Tensor]: ``[O]`` each, in float64 where they are computed by compiled functions.
    """
    pixels, channels = maps.numel() // maps.shape[1], maps.shape[1]
    if is_compiled(maps):
        mean, variance = channel_moments(maps.permute(0, 2, 3, 1))
    else:
        groups = _groups(maps, STATISTICS_GROUP)
        statistics = zip(*(torch.batch_norm_update_stats(group, None, None, 0.0) for group in groups))
        means, variances = (torch.stack(s).view(len(groups), -1, channels) for s in statistics)
        shares = means.new_tensor([group.shape[-1] / pixels for group in groups])[:, None, None]
        mean = (shares * means).sum((0, 1))  # Eq. 24
        variance = (shares * (variances + (means - mean).square())).sum((0, 1))
    if norm.momentum is not None:
        norm.running_mean.lerp_(mean.to(maps.dtype), norm.momentum)
        norm.running_var.lerp_((variance * (pixels / (pixels - 1))).to(maps.dtype), norm.momentum)
    return mean, variance


def normalize_adjoint(
        grad: Tensor, maps: Tensor, norm: BatchNorm, mean: Tensor,
        inverse_std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Adjoint of :func:`normalize`.

    Args:
        grad (Tensor): Gradient of the normalized maps, ``[N, O, H, W]``.
        maps (Tensor): ``h``, ``[N, O, H, W]``.
        norm (BatchNorm): The normalization.
        mean (Tensor): As returned by :func:`normalize`.
        inverse_std (Tensor): As returned by :func:`normalize`.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Gradients of ``maps``, of the weight and of the bias.
    """
    grad = grad.contiguous(memory_format=torch.channels_last if _is_channels_last(maps) else torch.contiguous_format)
    running = (None, None) if norm.from_batch else (norm.running_mean, norm.running_var)

    def library(grad: Tensor, maps: Tensor, wanted: list[bool], times: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ops.aten.native_batch_norm_backward(
            grad, maps, norm.weight.repeat(times), *running, mean.repeat(times),
            inverse_std.to(mean.dtype).repeat(times), norm.from_batch, norm.eps, wanted)

    if not _groups_pay(maps, norm):
        return library(grad, maps, [True, True, True])
    pixels, channels = maps.numel() // maps.shape[1], maps.shape[1]
    pairs = [*zip(_groups(grad, GRADIENT_GROUP), _groups(maps, GRADIENT_GROUP))]
    times = pairs[0][0].shape[1] // channels
    sums = [library(*pair, [False, True, True], times) for pair in pairs]
    grad_weight, grad_bias = (torch.cat([s[i] for s in sums]).view(-1, channels).sum(0) for i in (1, 2))  # Eq. 25
    # Most of the gradient along the normalized map cancels, and what rounding would leave of it has one sign at all
    # pixels. So the deviation that was rounded for the sums is replaced by the more precise one, if there is one.
    own = (norm.weight * inverse_std).to(maps.dtype)
    slope = own * inverse_std * (inverse_std / inverse_std.to(maps.dtype)) * grad_weight / -pixels
    shift = own * grad_bias / -pixels - slope * mean
    own, slope, shift = (t.to(maps.dtype).repeat(times) for t in (own, slope, shift))
    grad_rows = torch.empty_like(maps.permute(0, 2, 3, 1), memory_format=torch.contiguous_format)
    parts = grad_rows.view(-1, times * channels).split(GRADIENT_GROUP)
    for (grad_group, group), part in zip(pairs, parts):
        rows, grad_of_rows = (g[0, :, 0].t() for g in (group, grad_group))
        torch.addcmul(shift, rows, slope, out=part).addcmul_(grad_of_rows, own)  # Eq. 26
    return to_maps(grad_rows), grad_weight, grad_bias


def _groups_pay(maps: Tensor, norm: BatchNorm) -> bool:
    return (
        norm.from_batch and maps.device.type == 'cpu' and maps.dtype.itemsize >= 4 and _is_channels_last(maps)
        and maps.numel() // maps.shape[1] > GRADIENT_GROUP)


def _is_channels_last(maps: Tensor) -> bool:
    return maps.is_contiguous(memory_format=torch.channels_last)


def _groups(maps: Tensor, size: int) -> list[Tensor]:
    """The pixels of ``[N, O, H, W]`` in groups, each ``[1, k * O, 1, <= size]`` in the channels_last memory format.

    Of narrow maps, ``k`` pixels that follow one another lie side by side, each summed with every ``k``-th pixel after
    it: the library is slow on short rows.
    """
    channels = maps.shape[1]
    pixels = maps.numel() // channels
    times = next(k for k in range(max(1, ROW_WIDTH // channels), 0, -1) if pixels % k == 0)
    rows = maps.permute(0, 2, 3, 1).reshape(-1, times * channels)
    return [group[None, None].permute(0, 3, 1, 2) for group in rows.split(size)]
