"""What happens around training."""

from .hooks import *  # noqa: F403
