"""Loss of Pearson correlation of one level, with its gradient."""

import torch
from torch import Tensor

from .feature_pairs import at_least_single
from .known_gradients import gradients_wanted, with_gradients
from .review_level.folding import BatchNorm
from .review_level.normalization import Unnormalized, normalize
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
        loss, gradients = _loss_and_gradients(at_least_single(maps), norm, teacher, wanted)
    return with_gradients(loss, inputs, gradients) if wanted else loss


def _loss_and_gradients(
        maps: Tensor, norm: BatchNorm | None, teacher: Tensor, wanted: bool) -> tuple[Tensor, list[Tensor]]:
    """The loss, and its gradients if they are wanted: of the maps, and of the weight and bias of their normalization.

    ``maps`` and ``teacher`` are ``[N, C, H, W]``, ``x`` and ``y`` the same normalized. docs/fast_path.md, Eq. 28 and 29
    over the channels, then Eq. 26.
    """
    x, inverse_std, variance = _normalized(maps, norm)
    y, _, teacher_variance = _normalized(teacher, None)
    product = (x * y).mean((0, 2, 3))
    pixels, channels = maps.numel() // maps.shape[1], maps.shape[1]
    outer = inverse_std if norm is None else (norm.weight.square() * variance + SMALLEST_VARIANCE).rsqrt()
    gain = torch.ones_like(outer) if norm is None else norm.weight * outer  # the standardized map is `gain * x`
    loss = ((gain.square() * variance + teacher_variance) / 2 - gain * product).mean().clamp_min(0)
    if not wanted:
        return loss, []
    # The gradient of the normalized map, with weight and bias, is along_x * x + along_y * y.
    share = outer / (channels * pixels)
    along_x, along_y = gain * (1 - gain.square() * variance + gain * product) * share, -share
    of_parameters = []
    if norm is not None:
        of_weight = along_x * variance + along_y * product
        along_x, along_y = (norm.weight * inverse_std * along for along in (along_x - of_weight, along_y))
        of_parameters = [of_weight * pixels, torch.zeros_like(of_weight)]
    return loss, [x.mul_(along_x[:, None, None]).addcmul_(y, along_y[:, None, None]), *of_parameters]


def _normalized(maps: Tensor, norm: BatchNorm | None) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize maps by the statistics of the batch, without weight and bias.

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
