"""The distiller, its frozen teacher and the taps both are read by."""

from .frozen_teacher import FrozenTeacher
from .review_distiller import ReviewDistiller

__all__ = ['FrozenTeacher', 'ReviewDistiller']
