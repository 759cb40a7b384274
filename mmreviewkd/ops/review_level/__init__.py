"""Fast, exact computation of a level of the review path, derived in docs/fast_path.md.

Read in this order: :mod:`.layout`, :mod:`.moments`, :mod:`.folding`, :mod:`.mixing`, the three convolutions,
:mod:`.plan`, :mod:`.level`.
"""

from .folding import BatchNorm
from .level import review_level
from .plan import IMPLEMENTATIONS, LevelPlan, LevelShape, plan_level

__all__ = ['IMPLEMENTATIONS', 'BatchNorm', 'LevelPlan', 'LevelShape', 'plan_level', 'review_level']
