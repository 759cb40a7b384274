"""Hooks."""

from .channels_last_hook import ChannelsLastHook
from .check_fit_hook import CheckFitHook
from .export_student_hook import ExportStudentHook

__all__ = ['ChannelsLastHook', 'CheckFitHook', 'ExportStudentHook']
