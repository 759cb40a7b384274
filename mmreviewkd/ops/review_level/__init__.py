"""A level of the review path, exactly, at less cost; docs/fast_path.md derives it.

Read in this order: :mod:`.layout`, :mod:`.moments`, :mod:`.folding`, :mod:`.mixing`, the three convolutions,
:mod:`.plan`, :mod:`.level`.
"""

from .folding import BatchNorm
from .level import review_level
from .plan import IMPLEMENTATIONS, LevelPlan, LevelShape, plan_level

__all__ = ['IMPLEMENTATIONS', 'BatchNorm', 'LevelPlan', 'LevelShape', 'plan_level', 'review_level']
