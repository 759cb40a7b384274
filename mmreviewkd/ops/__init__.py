"""The paper's mathematics as pure functions of tensors: definitions, and faster forms that are tested against them."""

from .attention_based_fusion import attention_based_fusion, fusion_attention, resize_nearest
from .attention_transfer_loss import attention_transfer_loss
from .channel_wise_divergence import channel_wise_divergence
from .decoupled_logit_loss import decoupled_logit_loss
from .fast_hierarchical_context_loss import fast_level_hcl
from .fast_pearson_correlation_loss import fast_level_pearson
from .feature_l2_loss import feature_l2_loss
from .hierarchical_context_loss import hierarchical_context_loss, level_hcl
from .logit_distillation_loss import logit_distillation_loss
from .pearson_correlation_loss import level_pearson, pearson_correlation_loss
from .review_level import LevelPlan, LevelShape, plan_level, review_level

__all__ = [
    'LevelPlan', 'LevelShape', 'attention_based_fusion', 'attention_transfer_loss', 'channel_wise_divergence',
    'decoupled_logit_loss', 'fast_level_hcl', 'fast_level_pearson', 'feature_l2_loss', 'fusion_attention',
    'hierarchical_context_loss', 'level_hcl', 'level_pearson', 'logit_distillation_loss', 'pearson_correlation_loss',
    'plan_level', 'resize_nearest', 'review_level'
]
