"""Train in the channels-last memory format."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.errors import strict_keys


@HOOKS.register_module()
@strict_keys
class ChannelsLastHook(Hook):
    """Convert the model to ``torch.channels_last`` before training.

    Results are equal up to rounding. Whether training gets faster depends on network and device; small networks on a
    CPU and mixed precision on a GPU usually do.
    """

    def before_train(self, runner: Runner) -> None:
        """Convert student, connector and teacher."""
        runner.model.to(memory_format=torch.channels_last)
