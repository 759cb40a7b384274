"""A level of the review path, exactly, at a fraction of its time and memory.

Training-mode ``BN(conv1(s))`` is affine in ``s`` and its variance a quadratic form of the covariance of ``s``. So the
M-channel maps of a level are made from ``s`` by one product, used and dropped, a few images at a time, and made again
in the backward pass. Kept are the two attention maps and what ``conv2`` gives, beside what is kept anyway: the level's
input, the coarser residual, and what flows on. :mod:`.attention_based_fusion` is the definition that this must agree
with.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .composed_convolution import ComposedConvolution
from .fusion_cost import cheapest_convolution, fused_map_is_kept, images_per_chunk, statistics_from_covariance
from .same_convolution import DirectConvolution, WinogradConvolution


class Norm(NamedTuple):
    """What a ``BatchNorm2d`` does in a call: normalize by the batch's or the running statistics, and update these."""

    running_mean: Tensor
    running_var: Tensor
    from_batch: bool
    momentum: float | None
    eps: float

    @classmethod
    def of(cls, module: nn.BatchNorm2d) -> 'Norm':
        momentum = module.momentum if module.training and module.track_running_stats else None
        return cls(module.running_mean, module.running_var, module.training, momentum, module.eps)


class Level(NamedTuple):
    """What a call is told beside its tensors."""

    target_size: tuple[int, int]
    norm1: Norm
    norm2: Norm
    dtype: torch.dtype
    flows_on: bool


def fast_fusion(
        block: nn.Module, feature: Tensor, residual: Tensor | None, target_size: tuple[int, int], *,
        dtype: torch.dtype, flows_on: bool) -> tuple[Tensor, Tensor | None]:
    """Do what an :class:`AttentionBasedFusion` does; there is no double backward.

    Args:
        block (AttentionBasedFusion): The level's parameters and running statistics; these are updated.
        feature (Tensor): The student's feature, ``[N, C, h, w]``.
        residual (Tensor, optional): What flows in from the next coarser level, ``[N, M, h', w']``.
        target_size (tuple[int, int]): ``(H, W)`` of the teacher's feature.
        dtype (torch.dtype): Of the maps: the parameters', or autocast's.
        flows_on (bool): Whether a finer level takes what flows on.

    Returns:
        tuple[Tensor, Tensor | None]: What is compared with the teacher's feature, ``[N, O, H, W]``, and what flows on,
        ``[N, M, H, W]``, or None if nothing does.
    """
    (conv1, norm1), (conv2, norm2) = block.conv1, block.conv2
    fuses = block.att_conv is not None
    for norm in (norm1, norm2):
        if norm.training and norm.track_running_stats:
            norm.num_batches_tracked.add_(1)
    return _FusedLevel.apply(
        feature, residual if fuses else None, conv1.weight, norm1.weight, norm1.bias,
        block.att_conv[0].weight if fuses else None, block.att_conv[0].bias if fuses else None,
        conv2.weight, norm2.weight, norm2.bias,
        Level(tuple(target_size), Norm.of(norm1), Norm.of(norm2), dtype, flows_on))


class _FusedLevel(torch.autograd.Function):

    @staticmethod
    def forward(
            ctx, feature, residual, weight1, gamma1, beta1, att_weight, att_bias, weight2, gamma2, beta2, level):
        with torch.autocast(feature.device.type, enabled=False):
            pixels = _Pixels(feature, len(weight1), level.target_size, weight1.dtype)
            statistics = _statistics(pixels, weight1.flatten(1), level.norm1)
            affine = _fold(weight1.flatten(1), gamma1, beta1, statistics, level.norm1)
            mixer = None if residual is None else _Mixer(affine, att_weight, att_bias)
            attention = None if residual is None else feature.new_empty(
                (2, *pixels.grid), dtype=weight1.dtype)
            composed, convolution = _convolution(pixels, residual, weight2, affine, level)
            keeps = composed is None and (level.flows_on or fused_map_is_kept(*weight1.shape[:2]))
            flow = feature.new_empty(
                (pixels.grid[0], *level.target_size, len(weight1)), dtype=level.dtype
            ) if level.flows_on or keeps else None
            maps = []
            for part in pixels.parts:
                rows = pixels.rows(part, statistics.mean)
                coarse = z = None
                if mixer is not None:
                    coarse = _coarse(residual[part], pixels.grid[1:], level.dtype)
                    attention[:, part] = z = mixer.attend(rows, coarse)
                weighted = _weighted(rows, z, level.dtype)
                if composed is None or level.flows_on:
                    fused = _resize(_mixed(weighted, z, coarse, affine), level.target_size)
                    if flow is not None:
                        flow[part] = fused
                if composed is None:
                    maps.append(_planes(convolution.forward(fused)))
                else:
                    maps.append(composed.forward(weighted, z[1], coarse))
            raw = maps[0] if len(maps) == 1 else torch.cat(maps)
            norm2 = level.norm2
            running = (norm2.running_mean, norm2.running_var)
            output, mean2, inverse_std2 = torch.native_batch_norm(
                raw, gamma2, beta2, *((None, None) if norm2.from_batch and norm2.momentum is None else running),
                norm2.from_batch, norm2.momentum or 0.0, norm2.eps)
        ctx.set_materialize_grads(False)
        ctx.level = level
        ctx.save_for_backward(
            feature, residual, weight1, gamma1, beta1, att_weight, att_bias, weight2, gamma2, attention,
            flow if keeps else None, raw, mean2, inverse_std2, *statistics,
            *((None, None) if norm2.from_batch else running),
            None if level.norm1.from_batch else level.norm1.running_mean)
        return output, _planes(flow) if level.flows_on else None

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output, grad_flow):
        if grad_output is None and grad_flow is None:
            return (None,) * 11
        given = grad_output if grad_flow is None else grad_flow
        with torch.autocast(given.device.type, enabled=False):
            return _backward(ctx, grad_output, grad_flow)


def _backward(ctx, grad_output: Tensor | None, grad_flow: Tensor | None) -> tuple[Tensor | None, ...]:
    (feature, residual, weight1, gamma1, beta1, att_weight, att_bias, weight2, gamma2, attention, flow, raw, mean2,
     inverse_std2, *statistics, running_mean2, running_var2, running_mean1) = ctx.saved_tensors
    level, wanted = ctx.level, ctx.needs_input_grad
    statistics = _Statistics(*statistics)
    weight1_shape, weight1 = weight1.shape, weight1.flatten(1)
    dtype, wide = level.dtype, weight1.dtype
    pixels = _Pixels(feature, len(weight1), level.target_size, wide)
    affine = _fold(weight1, gamma1, beta1, statistics, level.norm1, running_mean1)
    mixer = None if residual is None else _Mixer(affine, att_weight, att_bias)

    composed = convolution = grad_weight2 = grad_gamma2 = grad_beta2 = None
    if grad_output is not None:
        grad_raw, grad_gamma2, grad_beta2 = torch.ops.aten.native_batch_norm_backward(
            grad_output.contiguous(memory_format=torch.channels_last), raw, gamma2, running_mean2, running_var2,
            mean2, inverse_std2, level.norm2.from_batch, level.norm2.eps, [True, True, True])
        composed, convolution = _convolution(pixels, residual, weight2, affine, level)

    grad_affine = weight1.new_zeros((len(weight1), weight1.shape[1] + 1))
    grad_rows = feature.new_empty((*pixels.grid, feature.shape[1]), dtype=wide)
    grad_residual = None
    if residual is not None:
        grad_residual = torch.empty_like(residual, dtype=dtype, memory_format=torch.channels_last)

    for part in pixels.parts:
        rows = pixels.rows(part, statistics.mean)
        coarse = z = None
        if mixer is not None:
            coarse, z = _coarse(residual[part], pixels.grid[1:], dtype), attention[:, part]
        weighted = _weighted(rows, z, dtype)
        grad_fused = None if grad_flow is None else _rows(grad_flow[part])
        if convolution is not None:
            fused = _resize(_mixed(weighted, z, coarse, affine), level.target_size) if flow is None else flow[part]
            grad = convolution.backward(_rows(grad_raw[part]), fused)
            grad_fused = grad if grad_fused is None else grad.add_(grad_fused)
            del fused, grad
        grad_own = grad_z0 = grad_z1 = grad_coarse = None
        if composed is not None:
            grad_weighted, grad_z1, grad_coarse = composed.backward(grad_raw[part], weighted, z[1], coarse)
            grad_own, grad_z0 = grad_weighted[..., :-1], grad_weighted[..., -1]
        if grad_fused is not None:
            grad_fused = _resize_backward(grad_fused, pixels.grid[1:])
            flat = grad_fused.flatten(0, 2)
            grad_affine += flat.t() @ weighted.flatten(0, 2)
            grad_own = _plus((flat @ affine.kernel.to(dtype)).to(wide).view_as(rows), grad_own)
            if mixer is not None:
                grad_z0 = _plus((flat @ affine.shift.to(dtype)).to(wide).view_as(z[0]), grad_z0)
                grad_z1 = _plus(_dot(grad_fused, coarse, wide), grad_z1)
                grad_coarse = _plus(_collect(grad_fused, z[1].to(dtype), coarse), grad_coarse)
        if mixer is None:
            grad_rows[part] = grad_own
            continue
        torch.mul(grad_own, z[0].unsqueeze(-1), out=grad_rows[part])
        grad_z0 = (grad_own * rows).sum(-1) + grad_z0
        grad_logits = (torch.stack((grad_z0, grad_z1)) * z * (1 - z)).movedim(0, -1)
        grad_coarse += mixer.attend_backward(grad_logits, rows, coarse, grad_rows[part])
        grad_residual[part] = _coarse_backward(grad_coarse, residual.shape[-2:])

    if composed is not None:
        grad_weight2, grad_composed = composed.weight_gradients()
        grad_affine += grad_composed
    elif convolution is not None:
        grad_weight2 = convolution.weight_gradient().to(weight2.dtype)
    grad_att_weight = grad_att_bias = None
    if mixer is not None:
        grad_att_weight, grad_att_bias = mixer.backward(grad_affine)
        grad_att_weight = grad_att_weight.view_as(att_weight)
    grad_weight1, grad_gamma1, grad_beta1 = _fold_backward(
        grad_affine, grad_rows, pixels, weight1, gamma1, affine, statistics, level.norm1, running_mean1)
    grad_feature = _planes(grad_rows).to(feature.dtype)
    if feature.is_contiguous() and not feature.is_contiguous(memory_format=torch.channels_last):
        grad_feature = grad_feature.contiguous()
    return (
        grad_feature if wanted[0] else None, grad_residual if residual is None else grad_residual.to(residual.dtype),
        grad_weight1.view(weight1_shape), grad_gamma1, grad_beta1, grad_att_weight, grad_att_bias, grad_weight2,
        grad_gamma2, grad_beta2, None)


class _Pixels:
    """The input of a level as rows of channels, a few images at a time."""

    def __init__(self, feature: Tensor, mid_channels: int, target_size: tuple[int, int], dtype: torch.dtype) -> None:
        self.feature = feature
        self.all_rows = _rows(feature)
        self.dtype = dtype
        n, _, h, w = feature.shape
        self.grid = (n, h, w)
        self.count = n * h * w
        bytes_per_image = mid_channels * max(h * w, target_size[0] * target_size[1]) * dtype.itemsize
        step = images_per_chunk(n, bytes_per_image, feature.device)
        self.parts = [slice(start, min(start + step, n)) for start in range(0, n, step)]

    def mean(self) -> Tensor:
        return self.feature.mean((0, 2, 3), dtype=self.dtype)

    def rows(self, part: slice, mean: Tensor | None) -> Tensor:
        """``s`` without its mean, ``[n, h, w, C]``."""
        rows = self.all_rows[part].to(self.dtype)
        return rows if mean is None else rows - mean

    def flat_rows(self, mean: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
        for part in self.parts:
            yield part, self.rows(part, mean).flatten(0, 2)


class _Statistics(NamedTuple):
    """Of ``conv1(s)``; mean ``[C]`` is that of ``s``, None where running statistics are used."""

    mean: Tensor | None
    inverse_std: Tensor
    covariance: Tensor | None


def _statistics(pixels: _Pixels, weight: Tensor, norm: Norm) -> _Statistics:
    if not norm.from_batch:
        return _Statistics(None, (norm.running_var + norm.eps).rsqrt(), None)
    mean, covariance = pixels.mean(), None
    if statistics_from_covariance(pixels.count, *weight.shape):
        covariance = weight.new_zeros((weight.shape[1], weight.shape[1]))
        for _, rows in pixels.flat_rows(mean):
            covariance.addmm_(rows.t(), rows)
        covariance /= pixels.count
        variance = ((weight @ covariance) * weight).sum(1).clamp_(min=0)
    else:
        variance = sum((rows @ weight.t()).square_().sum(0) for _, rows in pixels.flat_rows(mean)) / pixels.count
    if norm.momentum is not None:
        norm.running_mean.lerp_(weight @ mean, norm.momentum)
        norm.running_var.lerp_(variance * (pixels.count / (pixels.count - 1)), norm.momentum)
    return _Statistics(mean, (variance + norm.eps).rsqrt(), covariance)


class _Affine(NamedTuple):
    """``BN(conv1(s)) = kernel @ (s - mean) + shift``, ``[M, C]`` and ``[M]``."""

    kernel: Tensor
    shift: Tensor

    def joined(self, dtype: torch.dtype) -> Tensor:
        return torch.cat((self.kernel, self.shift[:, None]), 1).to(dtype)


def _fold(
        weight: Tensor, gamma: Tensor, beta: Tensor, statistics: _Statistics, norm: Norm,
        running_mean: Tensor | None = None) -> _Affine:
    scale = gamma * statistics.inverse_std
    if not norm.from_batch:
        beta = beta - scale * (norm.running_mean if running_mean is None else running_mean)
    return _Affine(scale[:, None] * weight, beta)


def _fold_backward(
        grad_affine: Tensor, grad_rows: Tensor, pixels: _Pixels, weight: Tensor, gamma: Tensor, affine: _Affine,
        statistics: _Statistics, norm: Norm, running_mean: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of weight, gamma and beta; what flows through the batch's statistics is added to ``grad_rows``."""
    grad_kernel, grad_shift = grad_affine[:, :-1], grad_affine[:, -1]
    inverse_std = statistics.inverse_std
    grad_weight = (gamma * inverse_std)[:, None] * grad_kernel
    grad_scale = (grad_kernel * weight).sum(1)
    if not norm.from_batch:
        grad_scale = grad_scale - grad_shift * running_mean
        return grad_weight, grad_scale * inverse_std, grad_shift
    factor = (grad_scale * gamma * inverse_std**3 / -pixels.count)[:, None]
    through_mean = grad_shift @ affine.kernel / -pixels.count
    if statistics.covariance is not None:
        grad_weight += (factor * pixels.count) * (weight @ statistics.covariance)
        through_variance = weight.t() @ (factor * weight)
        for part, rows in pixels.flat_rows(statistics.mean):
            grad_rows[part] += torch.addmm(through_mean, rows, through_variance).view_as(grad_rows[part])
    else:
        for part, rows in pixels.flat_rows(statistics.mean):
            grad_map = (rows @ weight.t()).mul_(factor.t())
            grad_weight.addmm_(grad_map.t(), rows)
            grad_rows[part] += torch.addmm(through_mean, grad_map, weight).view_as(grad_rows[part])
    return grad_weight, grad_scale * inverse_std, grad_shift


class _Mixer:
    """The attention of a level: ``sigmoid(att_conv([x; u]))`` from ``s`` and the coarse residual."""

    def __init__(self, affine: _Affine, weight: Tensor, bias: Tensor) -> None:
        self.affine = affine
        self.own, self.coarse = weight.flatten(1).chunk(2, dim=1)
        self.kernel = self.own @ affine.kernel
        self.shift = self.own @ affine.shift + bias
        self.grad_kernel = torch.zeros_like(self.kernel)
        self.grad_shift = torch.zeros_like(self.shift)
        self.grad_coarse = torch.zeros_like(self.coarse)

    def attend(self, rows: Tensor, coarse: Tensor) -> Tensor:
        """``[2, n, h, w]`` from ``rows [n, h, w, C]`` and ``coarse [n, h', 1, w', 1, M]``."""
        n, h, w, _ = rows.shape
        logits = torch.addmm(self.shift, rows.flatten(0, 2), self.kernel.t())
        logits = logits.view(n, coarse.shape[1], -1, coarse.shape[3], w // coarse.shape[3], 2)
        logits += coarse @ self.coarse.t().to(coarse.dtype)
        return logits.sigmoid_().view(n, h, w, 2).movedim(-1, 0)

    def attend_backward(self, grad_logits: Tensor, rows: Tensor, coarse: Tensor, grad_rows: Tensor) -> Tensor:
        """Add to ``grad_rows``; give the gradient of ``coarse``. ``grad_logits`` is ``[n, h, w, 2]``."""
        n, _, w, _ = rows.shape
        flat = grad_logits.flatten(0, 2)
        self.grad_kernel.addmm_(flat.t(), rows.flatten(0, 2))
        self.grad_shift += flat.sum(0)
        grad_rows += (flat @ self.kernel).view_as(grad_rows)
        pooled = grad_logits.reshape(n, coarse.shape[1], -1, coarse.shape[3], w // coarse.shape[3], 2).sum(
            (2, 4), keepdim=True).to(coarse.dtype)
        self.grad_coarse += pooled.flatten(0, 4).t() @ coarse.flatten(0, 4)
        return pooled @ self.coarse.to(coarse.dtype)

    def backward(self, grad_affine: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of weight and bias; what flows through the affine map is added to ``grad_affine``."""
        grad_joined = torch.cat((self.grad_kernel, self.grad_shift[:, None]), 1)
        grad_affine.addmm_(self.own.t(), grad_joined)
        grad_own = grad_joined @ self.affine.joined(grad_joined.dtype).t()
        return torch.cat((grad_own, self.grad_coarse), 1), self.grad_shift


def _weighted(rows: Tensor, attention: Tensor | None, dtype: torch.dtype) -> Tensor:
    """``[z0 * (s - mean); z0]``, ``[n, h, w, C + 1]``; ``z0`` is 1 where nothing flows in."""
    weighted = rows.new_empty((*rows.shape[:3], rows.shape[3] + 1), dtype=dtype)
    if attention is None:
        weighted[..., :-1] = rows
        weighted[..., -1] = 1
    else:
        torch.mul(rows, attention[0].unsqueeze(-1), out=weighted[..., :-1])
        weighted[..., -1] = attention[0]
    return weighted


def _mixed(weighted: Tensor, attention: Tensor | None, coarse: Tensor | None, affine: _Affine) -> Tensor:
    """``z0 * x + z1 * u``, ``[n, h, w, M]``."""
    kernel = affine.joined(weighted.dtype).t()
    if attention is None:
        return weighted @ kernel
    fused = _blocks(attention[1].to(weighted.dtype).unsqueeze(-1), coarse) * coarse
    return fused.view(-1, fused.shape[-1]).addmm_(weighted.flatten(0, 2), kernel).view(*weighted.shape[:3], -1)


def _convolution(
        pixels: '_Pixels', residual: Tensor | None, weight2: Tensor, affine: _Affine, level: Level,
) -> tuple[ComposedConvolution, None] | tuple[None, DirectConvolution | WinogradConvolution]:
    """What does the work of ``conv2``: without the fused map where that applies and pays, or from it."""
    n, h, w = pixels.grid
    composable = residual is not None and level.target_size == (h, w) and all(
        map(_in_blocks, residual.shape[-2:], (h, w)))
    way = cheapest_convolution(
        pixels.feature.device, level.dtype, n, level.target_size, pixels.feature.shape[1], *weight2.shape[1::-1],
        residual.shape[-2:] if composable else None)
    if way == 'composed':
        return ComposedConvolution(weight2, affine.joined(level.dtype)), None
    return None, (WinogradConvolution if way == 'winograd' else DirectConvolution)(weight2.to(level.dtype))


def _coarse(residual: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The residual as ``[n, h', 1, w', 1, M]``, to be repeated over blocks of pixels; upsampled if it has no blocks."""
    residual = residual.to(dtype)
    if not all(map(_in_blocks, residual.shape[-2:], size)):
        residual = F.interpolate(residual, size=size, mode='nearest')
    return _rows(residual)[:, :, None, :, None]


def _coarse_backward(grad: Tensor, size: tuple[int, int]) -> Tensor:
    grad = _planes(grad[:, :, 0, :, 0])
    if grad.shape[-2:] == tuple(size):
        return grad
    return torch.ops.aten.upsample_nearest2d_backward(grad, grad.shape[-2:], [*grad.shape[:2], *size])


def _in_blocks(coarse: int, fine: int) -> bool:
    """Whether nearest resizing repeats whole blocks; ratios that floating point may round are left to it."""
    ratio, rest = divmod(fine, coarse)
    return coarse == 1 or (rest == 0 and ratio & (ratio - 1) == 0)


def _blocks(fine: Tensor, coarse: Tensor) -> Tensor:
    """``[n, h, w, K]`` as ``[n, h', h / h', w', w / w', K]``."""
    n, h, w, k = fine.shape
    _, rows, _, columns, _, _ = coarse.shape
    return fine.reshape(n, rows, h // rows, columns, w // columns, k)


def _dot(grad: Tensor, coarse: Tensor, dtype: torch.dtype) -> Tensor:
    """``sum over M of grad * u``, ``[n, h, w]``."""
    return (_blocks(grad, coarse) * coarse).sum(-1, dtype=dtype).view(grad.shape[:3])


def _collect(grad: Tensor, attention: Tensor, coarse: Tensor) -> Tensor:
    """``sum over a block of grad * z1``, shaped as ``coarse``."""
    grad, attention = _blocks(grad, coarse), _blocks(attention.unsqueeze(-1), coarse)
    n, rows, height, columns, width, m = grad.shape
    if rows == columns == 1:
        return (attention.view(n, 1, -1) @ grad.view(n, -1, m)).view_as(coarse)
    if height * width > 16:
        return (grad * attention).sum((2, 4), keepdim=True)
    total = torch.zeros_like(coarse)
    for i in range(height):
        for j in range(width):
            total.addcmul_(grad[:, :, i:i + 1, :, j:j + 1], attention[:, :, i:i + 1, :, j:j + 1])
    return total


def _plus(fresh: Tensor, other: Tensor | None) -> Tensor:
    return fresh if other is None else fresh.add_(other)


def _rows(planes: Tensor) -> Tensor:
    return planes.permute(0, 2, 3, 1).contiguous()


def _planes(rows: Tensor) -> Tensor:
    return rows.permute(0, 3, 1, 2)


def _resize(rows: Tensor, size: tuple[int, int]) -> Tensor:
    if rows.shape[1:3] == tuple(size):
        return rows
    return _rows(F.interpolate(_planes(rows), size=size, mode='nearest'))


def _resize_backward(grad: Tensor, size: tuple[int, int]) -> Tensor:
    if grad.shape[1:3] == tuple(size):
        return grad
    n, h, w, m = grad.shape
    return _rows(torch.ops.aten.upsample_nearest2d_backward(_planes(grad), [h, w], [n, m, *size]))
