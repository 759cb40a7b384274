"""The distiller, its frozen teacher and the taps both are read by."""

from .feature_taps import FeatureTaps
from .frozen_teacher import FrozenTeacher
from .review_distiller import ReviewDistiller

__all__ = ['FeatureTaps', 'FrozenTeacher', 'ReviewDistiller']
