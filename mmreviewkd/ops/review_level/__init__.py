"""Fast, exact computation of a level of the review path, derived in docs/fast_path.md.

Read in this order: :mod:`.layout`, :mod:`.moments`, :mod:`.folding`, :mod:`.mixing`, the three convolutions,
:mod:`.plan`, :mod:`.level`.
"""

from .folding import BatchNorm
from .level import review_level
from .normalization import Unnormalized
from .plan import IMPLEMENTATIONS, PREFERENCES, LevelPlan, LevelShape, plan_level, timed_ways

__all__ = [
    'IMPLEMENTATIONS', 'PREFERENCES', 'BatchNorm', 'LevelPlan', 'LevelShape', 'Unnormalized', 'plan_level',
    'review_level', 'timed_ways'
]
