"""Connectors: thin modules over :mod:`mmreviewkd.ops` that map the student's features to the teacher's."""

from .addition_fusion import AdditionFusion
from .attention_based_fusion import AttentionBasedFusion, attention_based_fusion
from .base_connector import BaseConnector
from .pairwise_connector import PairwiseConnector
from .review_connector import ReviewConnector
from .same_level_connector import SameLevelConnector

__all__ = [
    'AdditionFusion', 'AttentionBasedFusion', 'BaseConnector', 'PairwiseConnector', 'ReviewConnector',
    'SameLevelConnector', 'attention_based_fusion'
]
