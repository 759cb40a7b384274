"""Connectors: from the student's features to the teacher's."""

from .attention_based_fusion import AttentionBasedFusion, attention_based_fusion
from .review_connector import ReviewConnector
from .same_level_connector import SameLevelConnector

__all__ = ['AttentionBasedFusion', 'ReviewConnector', 'SameLevelConnector', 'attention_based_fusion']
