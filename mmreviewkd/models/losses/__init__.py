"""Losses between the features or logits of student and teacher: thin modules over :mod:`mmreviewkd.ops`."""

from .attention_transfer_loss import AttentionTransferLoss, attention_transfer_loss
from .channel_wise_divergence import ChannelWiseDivergence, channel_wise_divergence
from .decoupled_logit_loss import DecoupledLogitLoss, decoupled_logit_loss
from .feature_l2_loss import FeatureL2Loss, feature_l2_loss
from .hierarchical_context_loss import HierarchicalContextLoss, hierarchical_context_loss
from .logit_distillation_loss import LogitDistillationLoss, logit_distillation_loss
from .pearson_correlation_loss import PearsonCorrelationLoss, pearson_correlation_loss

__all__ = [
    'AttentionTransferLoss', 'ChannelWiseDivergence', 'DecoupledLogitLoss', 'FeatureL2Loss', 'HierarchicalContextLoss',
    'LogitDistillationLoss', 'PearsonCorrelationLoss', 'attention_transfer_loss', 'channel_wise_divergence',
    'decoupled_logit_loss', 'feature_l2_loss', 'hierarchical_context_loss', 'logit_distillation_loss',
    'pearson_correlation_loss'
]
