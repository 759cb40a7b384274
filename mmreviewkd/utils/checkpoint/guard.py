"""Make MMEngine's checkpoint loader, which runners, ``init_cfg`` and inferencers use, read data only."""

import os

import torch
from mmengine.runner import checkpoint as mmengine_checkpoint

from .config_text import disarm_config_texts
from .loading import load_checkpoint


def guard_checkpoint_loading() -> None:
    """Make MMEngine read every checkpoint of this process through :func:`load_checkpoint`.

    This includes all URL schemes, schemes that are registered later, and direct calls of MMEngine's loaders.
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
    """Load a checkpoint as data; :func:`guard_checkpoint_loading` replaces MMEngine's loaders by this function.

    Args:
        filename (str): See :func:`load_checkpoint`.
        map_location (str or torch.device, optional): See :func:`load_checkpoint`. Defaults to None.

    Returns:
        dict: The checkpoint, with its config texts, which MMEngine executes, reduced to plain assignments.
    """
    checkpoint = disarm_config_texts(load_checkpoint(os.fspath(filename), map_location))
    if str(filename).startswith('mmcls://'):
        checkpoint = mmengine_checkpoint._process_mmcls_checkpoint(checkpoint)
    return checkpoint


# An earlier name of this function.
allow_mmengine_checkpoints = guard_checkpoint_loading
