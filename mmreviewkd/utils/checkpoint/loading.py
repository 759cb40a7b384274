"""Load a checkpoint as data, from a path or URL."""

import os
from collections.abc import Callable

import torch

from mmreviewkd.utils.errors import CheckpointError

from .formats import read
from .refusal import Refusal
from .sources import open_source


def load_checkpoint(
        source: str, map_location: str | torch.device | Callable | dict | None = 'cpu',
        where: str = 'checkpoint') -> dict:
    """Load a checkpoint without running code that it contains.

    Args:
        source (str): A path, a URL (downloaded once to torch's hub folder), or another of MMEngine's schemes, such as
            ``'torchvision://resnet50'``; see :func:`~mmreviewkd.utils.checkpoint.sources.open_source`.
        map_location (str, torch.device, Callable or dict, optional): Where to put the tensors, as for ``torch.load``;
            None means 'cpu'. Defaults to 'cpu'.
        where (str): The config key or argument that names it, for messages. Defaults to 'checkpoint'.

    Returns:
        dict: The content of the checkpoint.

    Raises:
        CheckpointError: If the file is missing, cannot be downloaded, is damaged, of another format, or contains
            anything but data.
    """
    with open_source(str(source), where) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            found = read(file, size, _placement(map_location))
        except Refusal as refusal:
            raise CheckpointError(f'{where}: {str(source)!r} ({size} bytes) {refusal}') from None
        except Exception as error:
            reason = str(error).strip().split('\n')[0][:120] or type(error).__name__
            raise CheckpointError(
                f'{where}: {str(source)!r} ({size} bytes) is no whole checkpoint, perhaps cut short or damaged while '
                f'it was written or copied ({reason})') from error
    if not isinstance(found, dict):
        raise CheckpointError(f'{where}: {str(source)!r} holds no dict but a {type(found).__name__}')
    return found


def _placement(map_location: str | torch.device | Callable | dict | None) -> Callable:
    if map_location is None or map_location in ('cpu', torch.device('cpu')):
        return lambda storage, saved_from: storage
    return torch.serialization._get_restore_location(map_location)
