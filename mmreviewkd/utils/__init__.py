"""Errors, configs, checkpoints, random state and version checks."""

from .environment import check_environment
from .errors import CheckpointError, ConfigError, TapError
from .setup_env import register_all_modules

__all__ = ['CheckpointError', 'ConfigError', 'TapError', 'check_environment', 'register_all_modules']
