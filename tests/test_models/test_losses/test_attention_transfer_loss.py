"""The registered module of attention transfer."""

import pytest
import torch
from conftest import STAGES, STAGES_BEFORE_RELU, cifar_classifier, gray_batch, review_config
from mmengine.registry import MODELS

from mmreviewkd.models import AttentionTransferLoss, attention_transfer_loss
from mmreviewkd.utils import ConfigError


def test_is_weighted():
    student, teacher = torch.randn(2, 3, 6, 4), torch.randn(2, 5, 6, 4)
    expected = attention_transfer_loss([student], [teacher])
    torch.testing.assert_close(AttentionTransferLoss(loss_weight=5.0)([student], [teacher]), 5 * expected)


def test_the_distiller_needs_no_connector_for_it():
    torch.manual_seed(0)
    distiller = MODELS.build(review_config(
        student=dict(model=cifar_classifier(), taps=STAGES[:3]),
        teacher=dict(model=cifar_classifier(14, (8, 8, 16, 32)), checkpoint='init_cfg', taps=STAGES_BEFORE_RELU[:3]),
        connector=None, distill_loss=dict(type='AttentionTransferLoss')))
    distiller.init_weights()
    losses = distiller(**distiller.data_preprocessor(gray_batch(), True), mode='loss')
    assert losses['distill_weight'] == 1000 and losses['loss_distill'] > 0


def test_unknown_settings_are_named():
    with pytest.raises(ConfigError, match="did you mean 'loss_weight'"):
        AttentionTransferLoss(loss_wight=1)
