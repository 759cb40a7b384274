"""Adapter from a level's modules to the fast path: whether it supports them, and running it on their parameters."""

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_state

from mmreviewkd.ops import resize_nearest
from mmreviewkd.ops.convolve_padded import convolve_padded
from mmreviewkd.ops.review_level import BatchNorm, LevelPlan, Unnormalized, review_level
from mmreviewkd.utils.autocast import autocast_dtype

from .attention_based_fusion import AttentionBasedFusion
from .review_block import KERNEL_SIZES

_CONV = dict(stride=(1, 1), dilation=(1, 1), groups=1, padding_mode='zeros')
_HOOKS = ('_forward_hooks', '_forward_pre_hooks', '_backward_hooks', '_backward_pre_hooks')
_GLOBAL_HOOKS = tuple(f'_global{hooks}' for hooks in _HOOKS)


def fast_level(
        block: AttentionBasedFusion, feature: Tensor, residual: Tensor | None, target_size: tuple[int, int],
        plan: LevelPlan) -> tuple[Unnormalized, Tensor | None]:
    """Compute ``block(feature, residual, target_size)`` by :func:`~mmreviewkd.ops.review_level`.

    Args:
        block (AttentionBasedFusion): The level; the running statistics of its normalizations are updated.
        feature (Tensor): The student's feature, ``[N, C, h, w]``.
        residual (Tensor, optional): The fused map of the next coarser level, ``[N, M, h', w']``.
        target_size (tuple[int, int]): ``(H, W)`` of the teacher's feature, as in the plan.
        plan (LevelPlan): A plan with ``way='fast'``.

    Returns:
        tuple[Unnormalized, Tensor | None]: The output before its normalization, ``[N, O, H, W]``, and the fused map,
        ``[N, M, H, W]``, or None at the finest level.
    """
    (conv1, norm1), (conv2, norm2) = block.conv1, block.conv2
    _count_batch(norm1, norm2)
    attention = None if block.att_conv is None else (block.att_conv[0].weight, block.att_conv[0].bias)
    convolved, fused = review_level(
        feature, residual, conv1.weight, _batch_norm(norm1), attention, conv2.weight, plan)
    return Unnormalized(convolved, _batch_norm(norm2)), fused


def plain_level(
        block: AttentionBasedFusion, feature: Tensor, residual: Tensor | None,
        target_size: tuple[int, int]) -> tuple[Tensor | Unnormalized, Tensor]:
    """Compute ``block(feature, residual, target_size)`` by its modules, on CPUs with the fast path's normalizations.

    On CPUs the library's normalization of channels_last maps of many pixels is less accurate, see
    :mod:`mmreviewkd.ops.review_level.normalization`; single pixels are convolved by one tap. On other devices the block
    itself is called.

    Args:
        block (AttentionBasedFusion): The level; the running statistics of its normalizations are updated.
        feature (Tensor): The student's feature, ``[N, C, h, w]``.
        residual (Tensor, optional): The fused map of the next coarser level, ``[N, M, h', w']``.
        target_size (tuple[int, int]): ``(H, W)`` of the teacher's feature.

    Returns:
        tuple[Tensor | Unnormalized, Tensor]: The output, ``[N, O, H, W]``, on CPUs before its normalization, and the
        fused map, ``[N, M, H, W]``.
    """
    if feature.device.type != 'cpu':
        return block(feature, residual, target_size)
    (conv1, norm1), (conv2, norm2) = block.conv1, block.conv2
    _count_batch(norm1, norm2)
    own = Unnormalized(conv1(feature), _batch_norm(norm1)).normalized()
    fused = resize_nearest(block.fuse(own, residual), target_size)
    return Unnormalized(convolve_padded(fused, conv2.weight), _batch_norm(norm2)), fused


def trial(block: AttentionBasedFusion, feature: Tensor, plan: LevelPlan) -> Callable[[], None]:
    """Make runs of a level for timing, forward and backward, which change neither its parameters nor its statistics.

    Args:
        block (AttentionBasedFusion): The level; the runs use a copy.
        feature (Tensor): The student's feature, ``[N, C, h, w]``.
        plan (LevelPlan): How it is computed.

    Returns:
        Callable: Runs the level once.
    """
    block = copy.deepcopy(block)
    compute = partial(plain_level, block) if plan.way == 'plain' else partial(fast_level, block, plan=plan)
    inputs = [feature.detach().requires_grad_(), None]
    if plan.shape.coarse_size is not None:
        size = plan.shape.batch, plan.shape.mid_channels, *plan.shape.coarse_size
        layout = torch.channels_last if plan.way == 'fast' or _is_channels_last(feature) else torch.contiguous_format
        inputs[1] = feature.new_zeros(size, dtype=plan.dtype).to(memory_format=layout).requires_grad_()
    learned = [t for t in (*inputs, *block.parameters()) if t is not None and t.requires_grad]

    def run() -> None:
        with torch.enable_grad():
            output, fused = compute(*inputs, plan.shape.target_size)
            output = output.normalized() if isinstance(output, Unnormalized) else output
            outputs = [output] if plan.shape.is_finest else [output, fused]
            torch.autograd.grad(outputs, learned, [torch.ones_like(o) for o in outputs], allow_unused=True)

    return run


def _is_channels_last(feature: Tensor) -> bool:
    return feature.is_contiguous(memory_format=torch.channels_last)


def _count_batch(*norms: nn.BatchNorm2d) -> None:
    for norm in norms:
        if norm.training and norm.track_running_stats:
            norm.num_batches_tracked.add_(1)


def _batch_norm(module: nn.BatchNorm2d) -> BatchNorm:
    momentum = module.momentum if module.training and module.track_running_stats else None
    return BatchNorm(
        module.weight, module.bias, module.running_mean, module.running_var, module.training, momentum, module.eps)


def map_dtype(block: nn.Module, feature_dtype: torch.dtype, device: torch.device) -> torch.dtype | None:
    """The dtype in which the fast path computes a level's maps.

    Args:
        block (nn.Module): The level.
        feature_dtype (torch.dtype): Type of the student's feature.
        device (torch.device): Device of the student's feature.

    Returns:
        torch.dtype or None: The parameters' dtype or autocast's; None if the fast path does not support the
        combination.
    """
    dtypes = {p.dtype for p in block.parameters()}
    if len(dtypes) != 1 or any(p.device != device for p in block.parameters()):
        return None
    parameters, = dtypes
    autocast = autocast_dtype(device.type)
    if autocast is None:
        return parameters if feature_dtype == parameters and parameters.itemsize >= 4 else None
    fits = parameters == torch.float32 and feature_dtype in (torch.float32, torch.float16, torch.bfloat16)
    return autocast if fits else None


def obstacle(block: nn.Module) -> str | None:
    """Why the fast path cannot compute a level; None if it can.

    The fast path supports the modules that an :class:`AttentionBasedFusion` is built with, as long as nothing observes
    or replaces their results: no hooks, parametrizations, other normalizations or cumulative running statistics.

    Args:
        block (nn.Module): The level.
    """
    if type(block) is not AttentionBasedFusion:
        return f'{type(block).__name__} is computed by its modules'
    if any(getattr(module_state, hooks) for hooks in _GLOBAL_HOOKS):
        return 'a global module hook is registered'
    for name, module in block.named_modules():
        if any(getattr(module, hooks) for hooks in _HOOKS):
            return f'{name or "the level"} has a hook'
    for name, pair, sides in ('conv1', block.conv1, (1,)), ('conv2', block.conv2, KERNEL_SIZES):
        if not any(_is_plain_pair(pair, (side, side), (side // 2, side // 2)) for side in sides):
            return f'{name} is not as built'
    attention = block.att_conv
    if attention is None or (
            type(attention) is nn.Sequential and len(attention) == 2 and type(attention[1]) is nn.Sigmoid
            and is_plain_conv(attention[0], (1, 1), (0, 0)) and attention[0].bias is not None):
        return None
    return 'att_conv is not as built'


def _is_plain_pair(pair: nn.Module, kernel_size: tuple[int, int], padding: tuple[int, int]) -> bool:
    if type(pair) is not nn.Sequential or len(pair) != 2 or type(pair[1]) is not nn.BatchNorm2d:
        return False
    conv, norm = pair
    cumulative = norm.training and norm.track_running_stats and norm.momentum is None
    return (
        is_plain_conv(conv, kernel_size, padding) and conv.bias is None and norm.running_mean is not None
        and not cumulative and all(map(is_plain_parameter, (norm.weight, norm.bias))))


def is_plain_conv(conv: nn.Module, kernel_size: tuple[int, int], padding: tuple[int, int] | str) -> bool:
    """Whether a module is an ``nn.Conv2d`` of this size and padding, with stride 1, and ``weight`` as it was built."""
    return (
        type(conv) is nn.Conv2d and conv.kernel_size == kernel_size and conv.padding == padding
        and all(getattr(conv, name) == value for name, value in _CONV.items())
        and is_plain_parameter(conv._parameters.get('weight')))


def is_plain_parameter(value: object) -> bool:
    """Whether a value is a parameter as modules are built with, neither a subclass nor computed from others."""
    return type(value) is nn.Parameter
