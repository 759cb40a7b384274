"""The registered module of the loss of Pearson correlation, alone and within a distiller."""

import pytest
import torch
from conftest import STAGES, STAGES_BEFORE_RELU, cifar_classifier, gray_batch, review_config
from mmengine.registry import MODELS

from mmreviewkd.models import PearsonCorrelationLoss, pearson_correlation_loss
from mmreviewkd.utils import ConfigError


def losses_of(images=8, **changes):
    torch.manual_seed(0)
    distiller = MODELS.build(review_config(
        **changes, distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=6.0)))
    distiller.init_weights()
    return distiller(**distiller.data_preprocessor(gray_batch(images), True), mode='loss')


def test_is_weighted():
    student, teacher = torch.randn(2, 2, 3, 8, 8)
    torch.testing.assert_close(
        PearsonCorrelationLoss(0.5)([student], [teacher]), pearson_correlation_loss(student, teacher) / 2)


@pytest.mark.parametrize('changes', [
    dict(connector=dict(type='SameLevelConnector')),
    dict(connector=dict(type='ReviewConnector')),
    dict(connector=None, teacher=dict(model=cifar_classifier(14), checkpoint='init_cfg', taps=STAGES_BEFORE_RELU))])
def test_the_distiller_takes_it_with_and_without_a_connector(changes):
    losses = losses_of(**changes)
    assert losses['distill_weight'] == 6 and 0 < losses['loss_distill'] < 6 * 2 * len(STAGES)


def test_a_single_value_per_channel_is_named():
    teacher = dict(model=cifar_classifier(14), checkpoint='init_cfg', taps=['neck'])
    with pytest.raises(ConfigError, match=r'train_dataloader\.drop_last=True'):
        losses_of(1, connector=None, student=dict(model=cifar_classifier(), taps=['neck']), teacher=teacher)


def test_unknown_settings_are_named():
    with pytest.raises(ConfigError, match="did you mean 'loss_weight'"):
        PearsonCorrelationLoss(loss_wight=1)
