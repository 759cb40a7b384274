"""Checkpoints are data, not programs: reading them never runs what they contain."""

from .atomic import save_atomically
from .fitting import check_fit, load_weights, state_dict_of
from .guard import allow_mmengine_checkpoints, guard_checkpoint_loading
from .loading import load_checkpoint

__all__ = [
    'allow_mmengine_checkpoints', 'check_fit', 'guard_checkpoint_loading', 'load_checkpoint', 'load_weights',
    'save_atomically', 'state_dict_of'
]
