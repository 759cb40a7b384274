"""Distillers, connectors, losses, backbones and adapters."""

from .adapters import *  # noqa: F403
from .backbones import *  # noqa: F403
from .connectors import *  # noqa: F403
from .distillers import *  # noqa: F403
from .losses import *  # noqa: F403
