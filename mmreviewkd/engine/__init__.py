"""Runner, hooks, data set wrapper and export of students."""

from .dataset_part import DatasetPart  # noqa: F401
from .hooks import *  # noqa: F403
from .runner import ResumableRunner  # noqa: F401
