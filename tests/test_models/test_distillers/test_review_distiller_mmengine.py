"""Networks that need nothing but MMEngine are distilled, by features and by maps of logits."""

import pytest
import torch
import torch.nn.functional as F
from conftest import cifar_classifier, review_config
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils import ConfigError

CLASSES = 5


@MODELS.register_module()
class TinySegmenter(BaseModel):
    """Three convolutions and a class for every fourth pixel."""

    def __init__(self, width, stride=2):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride, 1), nn.ReLU())
        self.head = nn.Conv2d(2 * width, CLASSES, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.head(self.body(self.stem(inputs)))
        return dict(loss=F.cross_entropy(logits, torch.stack(data_samples))) if mode == 'loss' else logits


def distiller(**changes):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmengine'):
        model = MODELS.build(dict(
            type='mmreviewkd.ReviewDistiller',
            student=dict(model=dict(type='mmreviewkd.TinySegmenter', width=4), taps=['stem', 'body'], logits='head'),
            teacher=dict(model=dict(type='mmreviewkd.TinySegmenter', width=8, **changes), checkpoint='init_cfg',
                         taps=['stem', 'body'], logits='head'),
            logit_loss=dict(type='LogitDistillationLoss', temperature=2.0)))
        model.init_weights()
    return model


def batch():
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, CLASSES, (2, 8, 8), generator=generator)
    return dict(inputs=torch.randn(2, 3, 32, 32, generator=generator), data_samples=list(labels))


def test_the_logit_loss_of_maps_is_that_of_their_pixels():
    model = distiller()
    found = model(**batch(), mode='loss')['loss_logit']
    with torch.no_grad():
        p, q = ((network(batch()['inputs']) / 2).softmax(1) for network in (model.frozen_teacher.model, model.student))
    torch.testing.assert_close(found, 4 * (p * (p / q).log()).sum(1).mean(), rtol=1e-4, atol=1e-6)


def test_trains():
    model = distiller().train()
    optim = build_optim_wrapper(model, dict(optimizer=dict(type='Adam', lr=0.01)))
    logs = [model.train_step(batch(), optim) for _ in range(20)]
    assert {'loss', 'loss_student', 'loss_distill', 'loss_logit', 'distill_weight'} <= set(logs[0])
    for name in ('loss_student', 'loss_distill'):
        assert logs[-1][name] < 0.9 * logs[0][name]


def test_maps_of_logits_of_other_strides_are_named():
    with pytest.raises(ConfigError, match=r"student.logits \('head'\) has stride 4 and teacher.logits .* 2; tap both"):
        distiller(stride=1)


def test_a_hook_that_replaces_a_part_of_the_model_replaces_the_students():
    """As mmpretrain's SwitchRecipeHook does with the loss of a classifier without a head."""
    model = MODELS.build(review_config())
    model.init_weights()
    connector, head = model.connector, MODELS.build(cifar_classifier()).head
    model.head = head
    model.observer = None
    assert model.student.head is head and model.head is head
    assert 'head' not in model._modules and model.connector is connector
