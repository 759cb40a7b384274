"""Connectors: from the student's features to the teacher's."""

from .addition_fusion import AdditionFusion
from .attention_based_fusion import AttentionBasedFusion, attention_based_fusion
from .pairwise_connector import PairwiseConnector
from .review_connector import ReviewConnector
from .same_level_connector import SameLevelConnector

__all__ = [
    'AdditionFusion', 'AttentionBasedFusion', 'PairwiseConnector', 'ReviewConnector', 'SameLevelConnector',
    'attention_based_fusion'
]
