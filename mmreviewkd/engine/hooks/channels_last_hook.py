"""Train in the channels-last memory format."""

import logging

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn

from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.errors import strict_keys


@HOOKS.register_module()
@strict_keys
class ChannelsLastHook(Hook):
    """Convert the model to ``torch.channels_last`` before training.

    Results are equal up to rounding. Small networks on a CPU and mixed precision on a GPU usually train faster in this
    format; in general it depends on network and device.

    A model that :func:`breaks_on_cpu` keeps its format, with a warning.
    """

    priority = 'VERY_HIGH'  # before hooks that copy the model

    def before_run(self, runner: Runner) -> None:
        """Convert student, connector and teacher.

        A parallel model is wrapped anew: its gradient buckets are laid out for the weights' former strides, and the
        first iteration of every run, a resumed one too, would take a step along wrong gradients.
        """
        if not isinstance(runner._train_loop, BaseLoop):  # MMEngine builds the loop for training only
            return
        breaking = breaks_on_cpu(runner.model)
        if breaking:
            print_log(
                f'ChannelsLastHook leaves the model as it is: in channels-last format oneDNN computes wrong weight '
                f'gradients of strided 1x1 convolutions with few channels ({breaking[0]}) on this CPU, or crashes',
                'current', logging.WARNING)
            return
        if not is_model_wrapper(runner.model):
            runner.model.to(memory_format=torch.channels_last)
            return
        model = runner.model.module.to(memory_format=torch.channels_last)
        runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)


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
