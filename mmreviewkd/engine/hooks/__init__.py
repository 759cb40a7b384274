"""Hooks for training runs."""

from .channels_last_hook import ChannelsLastHook
from .check_fit_hook import CheckFitHook
from .checkpoint_hook import CheckpointHook
from .export_student_hook import ExportStudentHook
from .finite_loss_hook import FiniteLossHook
from .level_pictures_hook import LevelPicturesHook
from .level_scalars_hook import LevelScalarsHook

__all__ = [
    'ChannelsLastHook', 'CheckFitHook', 'CheckpointHook', 'ExportStudentHook', 'FiniteLossHook', 'LevelPicturesHook',
    'LevelScalarsHook'
]
