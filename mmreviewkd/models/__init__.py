"""Distillers, connectors, losses and backbones."""

from .connectors import *  # noqa: F403
from .losses import *  # noqa: F403
