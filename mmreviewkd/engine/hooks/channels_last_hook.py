"""Train in the channels-last memory format."""

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner

from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.errors import strict_keys


@HOOKS.register_module()
@strict_keys
class ChannelsLastHook(Hook):
    """Convert the model to ``torch.channels_last`` before training.

    Results are equal up to rounding. Small networks on a CPU and mixed precision on a GPU usually train faster in this
    format; in general it depends on network and device.
    """

    priority = 'VERY_HIGH'  # before hooks that copy the model

    def before_run(self, runner: Runner) -> None:
        """Convert student, connector and teacher.

        A parallel model is wrapped anew: its gradient buckets are laid out for the weights' former strides, and the
        first iteration of every run, a resumed one too, would take a step along wrong gradients.
        """
        if not isinstance(runner._train_loop, BaseLoop):  # MMEngine builds the loop for training only
            return
        if not is_model_wrapper(runner.model):
            runner.model.to(memory_format=torch.channels_last)
            return
        model = runner.model.module.to(memory_format=torch.channels_last)
        runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)
