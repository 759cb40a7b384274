"""Distillers, of configs and of plain PyTorch, and their frozen teacher."""

from . import parameter_groups
from .frozen_teacher import FrozenTeacher
from .plain_distiller import PlainDistiller, distiller
from .review_distiller import ReviewDistiller

__all__ = ['FrozenTeacher', 'PlainDistiller', 'ReviewDistiller', 'distiller']

parameter_groups.install()
