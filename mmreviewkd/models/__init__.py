"""Distillers, taps, connectors, losses and backbones."""

from .backbones import *  # noqa: F403
from .connectors import *  # noqa: F403
from .distillers import *  # noqa: F403
from .losses import *  # noqa: F403
from .taps import *  # noqa: F403
