"""The registered module of decoupled logit distillation, alone and within a distiller."""

import pytest
import torch
from conftest import STAGES, STAGES_BEFORE_RELU, cifar_classifier, gray_batch, review_config
from mmengine.registry import MODELS

from mmreviewkd.models import DecoupledLogitLoss, decoupled_logit_loss
from mmreviewkd.utils import ConfigError


def distiller(features=True, **student):
    torch.manual_seed(0)
    taps = (STAGES, STAGES_BEFORE_RELU) if features else ([], [])
    built = MODELS.build(review_config(
        student=dict(model=dict(cifar_classifier(), **student), taps=taps[0], logits='head.fc'),
        teacher=dict(model=cifar_classifier(14), checkpoint='init_cfg', taps=taps[1], logits='head.fc'),
        logit_loss=dict(type='DecoupledLogitLoss', loss_weight=2.0), **({} if features else dict(distill_loss=None))))
    built.init_weights()
    return built


def expected_loss(built, inputs, targets):
    with torch.no_grad():
        return 2 * decoupled_logit_loss(built.student(inputs), built.frozen_teacher.model(inputs), targets)


def test_is_weighted():
    student, teacher, labels = torch.randn(5, 7), torch.randn(5, 7), torch.arange(5)
    expected = decoupled_logit_loss(student, teacher, labels, 2.0, 3.0, 1.0)
    loss = DecoupledLogitLoss(2.0, 3.0, 1.0, loss_weight=0.5)
    torch.testing.assert_close(loss(student, teacher, labels), expected / 2)


@pytest.mark.parametrize('features', [False, True])
def test_the_distiller_passes_the_labels(features):
    built = distiller(features)
    data = built.data_preprocessor(gray_batch(), True)
    losses = built(**data, mode='loss')
    assert ('loss_distill' in losses) == features
    torch.testing.assert_close(
        losses['loss_logit'], expected_loss(built, data['inputs'], torch.arange(8) % 10))


def test_images_mixed_by_a_batch_augment_have_its_scores():
    built = distiller(
        data_preprocessor=dict(type='ClsDataPreprocessor', num_classes=10, mean=[73.0], std=[90.0]),
        train_cfg=dict(augments=dict(type='Mixup', alpha=1.0)))
    data = built.data_preprocessor(gray_batch(), True)
    scores = torch.stack([sample.gt_score for sample in data['data_samples']])
    assert ((scores > 0).sum(1) == 2).any()
    torch.testing.assert_close(
        built(**data, mode='loss')['loss_logit'], expected_loss(built, data['inputs'], scores))


@pytest.mark.parametrize(('change', 'found'), [
    (lambda sample: sample.set_gt_label([1, 2]), 'have 2 labels for one image'),
    (lambda sample: sample.pop('gt_label'), 'have no fields')])
def test_images_without_one_class_are_named(change, found):
    built = distiller(features=False)
    data = built.data_preprocessor(gray_batch(), True)
    for sample in data['data_samples']:
        change(sample)
    built.student.loss = lambda inputs, data_samples: dict(loss=built.student(inputs).sum())
    with pytest.raises(ConfigError, match=f'logit_loss=DecoupledLogitLoss needs the class of each image.*{found}'):
        built(**data, mode='loss')


def test_unknown_settings_are_named():
    with pytest.raises(ConfigError, match="did you mean 'beta'"):
        DecoupledLogitLoss(betta=1)
