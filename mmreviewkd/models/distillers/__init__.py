"""The distiller and its frozen teacher."""

from . import parameter_groups
from .frozen_teacher import FrozenTeacher
from .review_distiller import ReviewDistiller

__all__ = ['FrozenTeacher', 'ReviewDistiller']

parameter_groups.install()
