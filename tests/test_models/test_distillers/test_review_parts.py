"""Connector and losses are built for the levels of a pair, and computed together."""

from collections import Counter

import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS

from mmreviewkd.models.distillers.review_parts import build_parts, check_parts, distillation_losses
from mmreviewkd.models.taps.probe import Probe
from mmreviewkd.registry import MODELS
from mmreviewkd.utils import ConfigError

LOSS = dict(type='FeatureL2Loss')
LOGITS = dict(type='LogitDistillationLoss')


def levels(*channels, size=4):
    shapes = [(c, size // 2**k or 1, size // 2**k or 1) for k, c in enumerate(channels)]
    names = tuple(f'layer{k}' for k in range(len(shapes)))
    return Probe(names, tuple(shapes), Counter(names), 'call', (3, 16, 16))


def maps(*channels):
    return [torch.randn(2, c, 4 // 2**k, 4 // 2**k) for k, c in enumerate(channels)]


def test_channels_are_inferred_and_the_logits_are_the_last_level():
    parts = build_parts(levels(4, 8, 10), levels(6, 12, 10), dict(type='SameLevelConnector'), LOSS, LOGITS)
    assert [block[0].weight.shape[:2] for block in parts['connector'].blocks] == [(6, 4), (12, 8)]
    targets = maps(6, 12, 10)
    losses, outputs, compared = distillation_losses(**parts, features=maps(4, 8, 10), targets=targets, warmup=0.5)
    assert [output.shape for output in outputs] == [target.shape for target in compared]
    assert all(map(torch.equal, compared, targets[:2]))
    assert list(losses) == ['loss_logit', 'loss_distill'] and all(loss > 0 for loss in losses.values())


def test_the_warm_up_scales_the_loss_between_features_only():
    parts = build_parts(levels(4, 10), levels(4, 10), None, LOSS, LOGITS)
    features, targets = maps(4, 10), maps(4, 10)
    whole, half = (
        distillation_losses(**parts, features=features, targets=targets, warmup=w)[0] for w in (1.0, 0.5))
    torch.testing.assert_close(half['loss_distill'], whole['loss_distill'] / 2)
    assert half['loss_logit'] == whole['loss_logit']


@pytest.mark.parametrize(('student', 'teacher', 'losses', 'message'), [
    ((4, 8), (6,), (LOSS, None), '2 levels of the student but 1 of the teacher'),
    ((4,), (6,), (None, None), 'both None, so nothing would be distilled'),
    ((4, 8), (6, 9), (LOSS, LOGITS), r"student.logits \('layer1'\) gives 8 classes and teacher.logits"),
    ((10,), (10,), (LOSS, LOGITS), 'name 0 levels; give both or neither'),
    ((4, 8), (6, 9), (None, LOGITS), 'name 1 levels; give both or neither'),
])
def test_levels_that_do_not_fit_are_named(student, teacher, losses, message):
    with pytest.raises(ConfigError, match=message):
        build_parts(levels(*student), levels(*teacher), dict(type='ReviewConnector'), *losses)


def test_parts_that_are_no_components_are_named():
    with pytest.raises(ConfigError, match=r'connector must be a dict with a `type`'):
        check_parts('ReviewConnector', LOSS, None, {})
    with pytest.raises(ConfigError, match=r'logit_loss and teacher.logits belong together'):
        check_parts(None, LOSS, LOGITS, dict(student='fc', teacher=None))


LAYER = dict(type='mmengine.Linear', in_features=4, out_features=4)


@pytest.mark.parametrize(('key', 'part', 'message'), [
    ('distill_loss', LOGITS, r'^distill_loss \(LogitDistillationLoss\) fails on what it is given, the features'),
    ('logit_loss', LAYER, r'^logit_loss \(Linear\) fails on what it is given, the logits'),
    ('connector', LAYER, r'^connector \(Linear\) fails on .* the sizes'),
])
def test_parts_of_another_kind_are_named(key, part, message):
    MODELS.get('mmengine.Linear') or ROOT_MODELS.register_module(module=torch.nn.Linear)
    config = {'connector': None, 'distill_loss': LOSS, 'logit_loss': LOGITS, key: part}
    parts = build_parts(levels(4, 10), levels(4, 10), **config)
    with pytest.raises(ConfigError, match=message):
        distillation_losses(**parts, features=maps(4, 10), targets=maps(4, 10))


class OwnLoss(torch.nn.Module):

    def forward(self, features, targets):
        return features.nothing


def test_errors_of_the_users_own_parts_stay_as_they_are():
    parts = build_parts(levels(4, 10), levels(4, 10), None, dict(type=OwnLoss), None)
    with pytest.raises(AttributeError, match='nothing'):
        distillation_losses(**parts, features=maps(4, 10), targets=maps(4, 10))


class OutOfMemory(torch.nn.Module):

    def forward(self, features, targets):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


def test_missing_memory_is_not_blamed_on_the_config(monkeypatch):
    parts = build_parts(levels(4, 10), levels(4, 10), None, dict(type=OutOfMemory), None)
    monkeypatch.setattr(OutOfMemory, '__module__', 'mmreviewkd.models.losses')
    with pytest.raises(RuntimeError, match=r"^DefaultCPUAllocator: can't allocate"):
        distillation_losses(**parts, features=maps(4, 10), targets=maps(4, 10))
