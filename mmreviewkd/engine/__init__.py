"""What happens around training."""

from .hooks import *  # noqa: F403
from .runner import ResumableRunner  # noqa: F401
