"""Convert published weights to the layout of a config's model."""

import functools
from pathlib import Path

import torch
from mmengine.registry import DefaultScope

from mmreviewkd.models.build import build_model
from mmreviewkd.utils.checkpoint import load_checkpoint, load_weights, save_atomically, state_dict_of
from mmreviewkd.utils.config import model_config
from mmreviewkd.utils.convert_checkpoint import convert_state
from mmreviewkd.version import __version__


def convert_checkpoint(config: str, checkpoint: str, out: str) -> str:
    """Convert published weights to a checkpoint of a config's model.

    Args:
        config (str): A path, or ``'package::path/of/config.py'``.
        checkpoint (str): The path or URL of weights in another layout, see
            :func:`~mmreviewkd.utils.convert_checkpoint.match_layout`.
        out (str): The file to write.

    Returns:
        str: A report of the renamed entries.

    Raises:
        ConfigError: If the config does not exist or contains no model.
        CheckpointError: If the checkpoint cannot be read, or its weights do not fit the model.
    """
    with DefaultScope.overwrite_default_scope('mmengine'):
        model = build_model(model_config(config, 'config'), 'model')
    state, report = convert_state(model, state_dict_of(load_checkpoint(checkpoint), f'checkpoint: {checkpoint!r}'))
    load_weights(model, state, f'checkpoint: {checkpoint!r}')
    converted = dict(state_dict=model.state_dict(), meta=dict(mmreviewkd_version=__version__))
    save_atomically(functools.partial(torch.save, converted), Path(out))
    return report or f'{len(state)} entries already have the names of the model'
