"""What happens around training."""

from .hooks import *  # noqa: F401,F403
