"""Channels-last memory format for training."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.errors import strict_keys


@HOOKS.register_module()
@strict_keys
class ChannelsLastHook(Hook):
    """Turn the model's weights, and with them its maps, to ``torch.channels_last``.

    The results stay the same up to rounding. Whether it pays depends on the network and the device: small networks on
    a CPU and mixed precision on a GPU mostly gain.
    """

    def before_train(self, runner: Runner) -> None:
        """Convert the model, and the teacher with it."""
        runner.model.to(memory_format=torch.channels_last)
