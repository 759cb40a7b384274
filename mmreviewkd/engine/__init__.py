"""Runner, hooks and export of students."""

from .hooks import *  # noqa: F403
from .runner import ResumableRunner  # noqa: F401
