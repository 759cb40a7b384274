"""Loss of Pearson correlation of one level, with its gradient."""

from typing import NamedTuple

import torch
from torch import Tensor

from .compiled.comparing import Cells, cells_of, combine, compare, compares
from .feature_pairs import at_least_single
from .known_gradients import gradients_wanted, with_gradients
from .review_level.folding import BatchNorm
from .review_level.layout import to_maps, to_rows
from .review_level.normalization import Unnormalized, batch_statistics, normalize
from .standardization import SMALLEST_VARIANCE, check_values


def fast_level_pearson(student: Tensor | Unnormalized, teacher: Tensor) -> Tensor:
    """Compute :func:`~mmreviewkd.ops.pearson_correlation_loss.level_pearson` from moments of the channels.

    The loss is a scalar, so its gradient is known up to a factor in the forward pass, which keeps it and no other
    map. Of maps before a normalization by the batch's statistics, the standardized map is the normalized one but
    for a factor of each channel, so both are computed at once. In each channel the gradient is a linear combination
    of the normalized maps of student and teacher. Double backward is not supported.

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
        maps, norm = student.maps, student.norm
        inputs = maps, norm.weight, norm.bias
    else:
        maps, norm, inputs = student, None, (student,)
    wanted = gradients_wanted(inputs)
    with torch.no_grad(), torch.autocast(maps.device.type, enabled=False):
        loss, gradients = _loss_and_gradients(at_least_single(maps), norm, at_least_single(teacher), wanted)
    return with_gradients(loss, inputs, gradients) if wanted else loss


def _loss_and_gradients(
        maps: Tensor, norm: BatchNorm | None, teacher: Tensor, wanted: bool) -> tuple[Tensor, list[Tensor]]:
    """The loss, and its gradients if they are wanted: of the maps, and of the weight and bias of their normalization.

    ``maps`` and ``teacher`` are ``[N, C, H, W]``, ``x`` and ``y`` the same normalized. docs/fast_path.md, Eq. 28 and 29
    over the channels, then Eq. 26.
    """
    one, zero = maps.new_ones(maps.shape[1]), maps.new_zeros(maps.shape[1])
    standardizing = BatchNorm(one, zero, zero, one, True, None, SMALLEST_VARIANCE)
    normalizing = standardizing if norm is None else norm._replace(weight=one, bias=zero)
    compiled = compares(maps, teacher)
    x, y = _statistics(maps, normalizing, compiled), _statistics(teacher, standardizing, compiled)
    product, variance = _mean_product(x, y), x.variance
    pixels, channels = maps.numel() // maps.shape[1], maps.shape[1]
    outer = x.inverse_std if norm is None else (norm.weight.square() * variance + SMALLEST_VARIANCE).rsqrt()
    gain = torch.ones_like(outer) if norm is None else norm.weight * outer  # the standardized map is `gain * x`
    loss = ((gain.square() * variance + y.variance) / 2 - gain * product).mean().clamp_min(0).to(maps.dtype)
    if not wanted:
        return loss, []
    # The gradient of the normalized map, with weight and bias, is along_x * x + along_y * y.
    share = outer / (channels * pixels)
    along_x, along_y = gain * (1 - gain.square() * variance + gain * product) * share, -share
    of_parameters = []
    if norm is not None:
        of_weight = along_x * variance + along_y * product
        along_x, along_y = (norm.weight * x.inverse_std * along for along in (along_x - of_weight, along_y))
        of_parameters = [(of_weight * pixels).to(maps.dtype), torch.zeros_like(norm.bias)]
    return loss, [_combined(x, y, along_x, along_y), *of_parameters]


class _Statistics(NamedTuple):
    """A map and what normalizes it by the statistics of the batch, without weight and bias.

    Args:
        maps (Tensor): ``[N, C, H, W]``, normalized already where ``mean`` is None.
        mean (Tensor, optional): ``[C]``.
        inverse_std (Tensor): The inverse standard deviation, ``[C]``.
        variance (Tensor): The variance of the normalized map, which ``eps`` keeps just below 1, ``[C]``.
    """

    maps: Tensor
    mean: Tensor | None
    inverse_std: Tensor
    variance: Tensor


def _statistics(maps: Tensor, norm: BatchNorm, compiled: bool) -> _Statistics:
    """The statistics of maps ``[N, C, H, W]``, which are normalized now unless compiled functions do so later."""
    if compiled:
        maps = maps.contiguous(memory_format=torch.channels_last)
        mean, variance = batch_statistics(maps, norm)  # in float64, as for HCL
        inverse_std = (variance + norm.eps).rsqrt()
    else:
        maps, _, inverse_std = normalize(maps, norm)
        mean, inverse_std = None, inverse_std.to(maps.dtype)
    return _Statistics(maps, mean, inverse_std, 1 - norm.eps * inverse_std.square())


def _mean_product(x: _Statistics, y: _Statistics) -> Tensor:
    """Mean of the product of two normalized maps, ``[C]``."""
    if x.mean is None:
        return (x.maps * y.maps).mean((0, 2, 3))
    pixels = x.maps.numel() // x.maps.shape[1]
    deviations = compare(to_rows(x.maps), to_rows(y.maps), x.mean, torch.zeros_like(y.mean), y.mean, _cells(x.maps), [])
    return deviations.products / -pixels * x.inverse_std * y.inverse_std


def _combined(x: _Statistics, y: _Statistics, along_x: Tensor, along_y: Tensor) -> Tensor:
    """``along_x x + along_y y`` of two normalized maps, ``[N, C, H, W]``; overwrites them if they are computed."""
    if x.mean is None:
        return x.maps.mul_(along_x[:, None, None]).addcmul_(y.maps, along_y[:, None, None])
    along_x, along_y = along_x * x.inverse_std, along_y * y.inverse_std
    offsets = (-along_y * y.mean).expand(len(x.maps), 1, 1, -1)
    return to_maps(combine(to_rows(x.maps), to_rows(y.maps), x.mean, along_x, along_y, offsets, _cells(x.maps)))


def _cells(maps: Tensor) -> Cells:
    """One cell for each image."""
    return cells_of(tuple(maps.shape[-2:]), ())
