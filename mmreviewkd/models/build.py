"""Build a model from its config dict."""

import copy

from mmengine.config import ConfigDict
from torch import nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.config_errors import build_errors_named


def build_model(config: dict, where: str) -> nn.Module:
    """Build a model from its dict, in the dict's scope.

    Args:
        config (dict): The model dict; it is not changed.
        where (str): The config key, for messages.

    Raises:
        ConfigError: If a type in it is not registered, or a component cannot be built with its arguments.
    """
    with build_errors_named(where, everything=True):
        # A copy, because some models modify their config while they are built.
        return MODELS.build(copy.deepcopy(ConfigDict(config)))
