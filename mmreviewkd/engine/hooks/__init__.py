"""Hooks."""

from .channels_last_hook import ChannelsLastHook
from .export_student_hook import ExportStudentHook

__all__ = ['ChannelsLastHook', 'ExportStudentHook']
