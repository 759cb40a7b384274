"""Hooks and the export of students."""

from .hooks import *  # noqa: F403
