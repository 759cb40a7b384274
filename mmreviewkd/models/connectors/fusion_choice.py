"""Where the fast way through a level may stand in for the plain one."""

import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_state

from .attention_based_fusion import AttentionBasedFusion

IMPLEMENTATIONS = ('auto', 'plain', 'fast')

# Of the whole batch. With fewer, what flows back through the statistics all but cancels, and is best left as it is.
LEAST_PIXELS = 8

_CONV = dict(stride=(1, 1), dilation=(1, 1), groups=1, padding_mode='zeros')
_HOOKS = ('_forward_hooks', '_forward_pre_hooks', '_backward_hooks', '_backward_pre_hooks')
_GLOBAL_HOOKS = tuple(f'_global{hooks}' for hooks in _HOOKS)


def fast_dtype(block: nn.Module, feature: Tensor, target_size: tuple[int, int]) -> torch.dtype | None:
    """The type of the maps if :func:`fast_fusion` can stand in for ``block``, None if only ``block`` itself is right.

    It can for the modules that an :class:`AttentionBasedFusion` is built with, whoever holds them, as long as nothing
    watches or replaces what they compute: no hooks, no parametrizations, no other normalization in their place, no
    cumulative running statistics, no compiler at work.

    Args:
        block (nn.Module): The level.
        feature (Tensor): The student's feature, ``[N, C, h, w]``.
        target_size (tuple[int, int]): ``(H, W)`` of the teacher's feature.
    """
    if _is_compiling() or not _is_as_built(block):
        return None
    n, _, h, w = feature.shape
    if n * min(h * w, target_size[0] * target_size[1]) < LEAST_PIXELS:
        return None
    parameters = block.conv1[1].weight.dtype
    if any(p.dtype != parameters or p.device != feature.device for p in block.parameters()):
        return None
    asked = _autocast_dtype(feature.device.type)
    if asked is None:
        return parameters if feature.dtype == parameters and parameters.itemsize >= 4 else None
    fits = parameters == torch.float32 and feature.dtype in (torch.float32, torch.float16, torch.bfloat16)
    return asked if fits else None


def _is_as_built(block: nn.Module) -> bool:
    if type(block) is not AttentionBasedFusion or any(getattr(module_state, hooks) for hooks in _GLOBAL_HOOKS):
        return False
    if any(getattr(module, hooks) for module in block.modules() for hooks in _HOOKS):
        return False
    pairs = (block.conv1, (1, 1), (0, 0)), (block.conv2, (3, 3), (1, 1))
    if not all(_is_plain_pair(pair, kernel, padding) for pair, kernel, padding in pairs):
        return False
    attention = block.att_conv
    return attention is None or (
        type(attention) is nn.Sequential and len(attention) == 2 and type(attention[1]) is nn.Sigmoid
        and _is_plain_conv(attention[0], (1, 1), (0, 0)) and attention[0].bias is not None)


def _is_plain_pair(pair: nn.Module, kernel_size: tuple[int, int], padding: tuple[int, int]) -> bool:
    if type(pair) is not nn.Sequential or len(pair) != 2 or type(pair[1]) is not nn.BatchNorm2d:
        return False
    conv, norm = pair
    cumulative = norm.training and norm.track_running_stats and norm.momentum is None
    return (
        _is_plain_conv(conv, kernel_size, padding) and conv.bias is None and norm.running_mean is not None
        and not cumulative and all(type(p) is nn.Parameter for p in (norm.weight, norm.bias)))


def _is_plain_conv(conv: nn.Module, kernel_size: tuple[int, int], padding: tuple[int, int]) -> bool:
    return (
        type(conv) is nn.Conv2d and conv.kernel_size == kernel_size and conv.padding == padding
        and all(getattr(conv, name) == value for name, value in _CONV.items())
        and type(conv._parameters.get('weight')) is nn.Parameter)


def _autocast_dtype(device_type: str) -> torch.dtype | None:
    if hasattr(torch, 'get_autocast_dtype'):
        return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
    if device_type == 'cpu':
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None


def _is_compiling() -> bool:
    return getattr(torch.compiler, 'is_compiling', lambda: False)()
