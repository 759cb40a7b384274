"""Knowledge Review distillation (ReviewKD, CVPR 2021) for OpenMMLab."""

from .utils.environment import check_environment
from .version import __version__

check_environment()

__all__ = ['__version__']
