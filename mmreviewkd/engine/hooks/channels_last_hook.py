"""Train in the channels-last memory format."""

import logging

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmreviewkd.models import ReviewDistiller
from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.errors import strict_keys


@HOOKS.register_module()
@strict_keys
class ChannelsLastHook(Hook):
    """Convert the model to ``torch.channels_last`` before training.

    Results are equal up to rounding. Small networks on a CPU and mixed precision on a GPU usually train faster in this
    format; in general it depends on network and device.

    A model that :func:`breaks_on_cpu` keeps its format, with a warning. If it is the student of a distillation,
    connector and teacher are converted all the same.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Convert student, connector, teacher and the averaged weights of ``EMAHook``.

        This runs after the initialization: before it, random weights would be drawn in another order, and the teacher
        is not loaded yet. A parallel model is wrapped anew: its gradient buckets are laid out for the weights' former
        strides, and the first iteration of every run, a resumed one too, would take a step along wrong gradients.
        """
        wrapped = is_model_wrapper(runner.model)
        model = runner.model.module if wrapped else runner.model
        if not _convert(model):
            return
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                _convert_alike(hook.ema_model.module, model)
        if wrapped:
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)
            runner._maybe_compile('train_step')  # as MMEngine compiles that of the former wrapper


def _convert(model: nn.Module) -> bool:
    """Convert the model, or only connector and teacher if its student would break; return whether any was converted."""
    breaking = breaks_on_cpu(model)
    if not breaking:
        model.to(memory_format=torch.channels_last)
        return True
    partly = isinstance(model, ReviewDistiller) and all(name.startswith('student.') for name in breaking)
    print_log(
        f'ChannelsLastHook leaves the {"student" if partly else "model"} as it is: in channels-last format oneDNN '
        f'computes wrong weight gradients of strided 1x1 convolutions with few channels ({breaking[0]}) on this CPU, '
        'or crashes', 'current', logging.WARNING)
    if partly:
        model.frozen_teacher.apply(lambda teacher: teacher.to(memory_format=torch.channels_last))
        if model.connector is not None:
            model.connector.to(memory_format=torch.channels_last)
    return partly


def _convert_alike(copy: nn.Module, model: nn.Module) -> None:
    """Convert an averaged copy's 4D weights to the memory format of the model's; averaging mixed formats is slower."""
    for copied, own in zip(copy.parameters(), model.parameters()):
        if own.dim() == 4 and own.is_contiguous(memory_format=torch.channels_last):
            copied.data = copied.data.contiguous(memory_format=torch.channels_last)


def breaks_on_cpu(model: nn.Module) -> list[str]:
    """Find trainable convolutions whose weight gradients oneDNN gets wrong in channels-last format on this CPU.

    These are strided 1x1 convolutions with fewer input channels than a register holds floats: oneDNN writes past its
    workspace (uxlfoundation/oneDNN issue 6035), which crashes, hangs or gives wrong gradients.

    Args:
        model (nn.Module): The model.

    Returns:
        list[str]: The names of the convolutions; none on another device.
    """
    lanes = 16 if torch.backends.cpu.get_cpu_capability() == 'AVX512' else 8
    return [
        name for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and module.weight.device.type == 'cpu' and module.weight.requires_grad
        and module.kernel_size == (1, 1) and max(module.stride) > 1 and module.in_channels // module.groups < lanes]
