"""Errors, configs, checkpoints, random state and version checks."""

from .environment import check_environment
from .errors import CheckpointError, ConfigError, TapError

__all__ = ['CheckpointError', 'ConfigError', 'TapError', 'check_environment']
