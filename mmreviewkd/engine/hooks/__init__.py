"""Hooks."""

from .channels_last_hook import ChannelsLastHook
from .checkpoint_hook import CheckpointHook
from .export_student_hook import ExportStudentHook

__all__ = ['ChannelsLastHook', 'CheckpointHook', 'ExportStudentHook']
