"""Guards MMEngine's loader, through which runners, ``init_cfg`` and inferencers read checkpoints."""

import os

import torch
from mmengine.runner import checkpoint as mmengine_checkpoint

from .config_text import disarm_config_texts
from .loading import load_checkpoint


def guard_checkpoint_loading() -> None:
    """Make MMEngine read every checkpoint of this process through :func:`load_checkpoint`.

    This holds for every scheme, also for those that are registered later, and for the loaders of MMEngine that are
    called by name.
    """
    loader = mmengine_checkpoint.CheckpointLoader
    loader._get_checkpoint_loader = classmethod(lambda cls, path: load_from_data_only)
    for prefix in loader._schemes:
        loader._schemes[prefix] = load_from_data_only
    for name in vars(mmengine_checkpoint):
        if name.startswith('load_from_'):
            setattr(mmengine_checkpoint, name, load_from_data_only)


def load_from_data_only(
        filename: str, map_location: str | torch.device | None = None, *_: object, **__: object) -> dict:
    """What :func:`guard_checkpoint_loading` puts in the place of MMEngine's loaders.

    Args:
        filename (str): See :func:`load_checkpoint`.
        map_location (str or torch.device, optional): See :func:`load_checkpoint`. Defaults to None.

    Returns:
        dict: What the checkpoint holds; of its config texts, which MMEngine runs, only their data.
    """
    checkpoint = disarm_config_texts(load_checkpoint(os.fspath(filename), map_location))
    if str(filename).startswith('mmcls://'):
        checkpoint = mmengine_checkpoint._process_mmcls_checkpoint(checkpoint)
    return checkpoint


# The name that this had when torch's own restricted reader was taught MMEngine's types.
allow_mmengine_checkpoints = guard_checkpoint_loading
