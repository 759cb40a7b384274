"""Build a model from its config dict."""

import copy

from mmengine.config import ConfigDict
from torch import nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import ConfigError


def build_model(config: dict, where: str) -> nn.Module:
    """Build a model from its model dict, in the scope that the dict names.

    Args:
        config (dict): The model dict, which is not modified.
        where (str): The config key, for messages.

    Raises:
        ConfigError: If its type is not registered.
    """
    try:
        # A copy, as some models modify their config while they are built.
        return MODELS.build(copy.deepcopy(ConfigDict(config)))
    except KeyError as error:
        if 'registry' not in str(error):
            raise
        raise ConfigError(
            f'{where}: {error.args[0].split(". Please")[0]}; give the type its scope (such as '
            "'mmpretrain.ImageClassifier') or install the package it comes from") from error
