"""Suspicious pairs are named when the distiller is built."""

from collections import Counter

import pytest
from conftest import STAGES_BEFORE_RELU, cifar_classifier, review_config
from detection import mmdet_model
from mmengine.registry import MODELS, init_default_scope

from mmreviewkd.models.distillers.build_warnings import pair_warnings
from mmreviewkd.models.taps.probe import Probe


def levels(*sizes, image=64, **changes):
    names = tuple(f'layer{i}' for i in range(1, len(sizes) + 1))
    return Probe(names=names, shapes=tuple((8, size, size) for size in sizes), calls=Counter(names),
                 entry='tensor', image=(3, image, image), **changes)


@pytest.mark.parametrize(('student', 'teacher'), [
    (levels(16, 8, 4, 1), levels(16, 8, 4, 1)),
    (levels(16, 8, 4, 1), levels(56, 28, 14, 1, image=224)),
    (levels(14, 14, image=224), levels(16, 16, image=224)),
    (levels(13, 7, image=100), levels(16, 8, image=128)),
])
def test_levels_of_the_same_strides_are_not_suspicious(student, teacher):
    assert pair_warnings(student, teacher) == []


@pytest.mark.parametrize(('student', 'teacher', 'message'), [
    (levels(4, 16), levels(4, 16),
     r"student.taps are not fine to coarse: 'layer1' (4 x 4) comes before 'layer2' (16 x 16)"),
    (levels(16, 8), levels(8, 8),
     r"the strides of student and teacher differ: 'layer1' (stride 4) with 'layer1' (stride 8)"),
    (levels(16, 4), levels(16, 1), r"'layer2' (stride 16) with 'layer2' (pooled)"),
    (levels(16, 8, frozen=('layer1',)), levels(16, 8), r"no trainable parameter comes before 'layer1'"),
    (levels(16, 8, shared=('layer2',)), levels(16, 8), r"student.taps: 'layer2' is called 1 times, once per level"),
    (levels(16, 8), levels(16, 8, shared=('layer2',)), r"teacher.taps: 'layer2' is called 1 times, once per level"),
])
def test_each_finding_names_the_levels(student, teacher, message):
    assert any(message in found for found in pair_warnings(student, teacher))


def test_logits_are_no_feature_level():
    assert pair_warnings(levels(16, 8, 1), levels(16, 8, 1), 2) == []
    assert pair_warnings(levels(1, 1), levels(8, 1), 0) == []


@pytest.fixture
def logged(monkeypatch):
    said = []
    for module in ('review_distiller', 'review_parts'):
        monkeypatch.setattr(f'mmreviewkd.models.distillers.{module}.print_log', lambda text, *_: said.append(text))
    return said


def test_a_plain_pair_is_built_without_warnings(logged):
    MODELS.build(review_config())
    assert logged == []


def test_levels_paired_crosswise_are_logged(logged):
    taps = STAGES_BEFORE_RELU[::-1]
    MODELS.build(review_config(student=dict(model=cifar_classifier(), taps=['neck', *taps[1:]])))
    assert any('student.taps are not fine to coarse' in text for text in logged)
    assert any('strides of student and teacher differ' in text for text in logged)


def test_frozen_stages_are_logged(logged):
    pytest.importorskip('mmpretrain')
    backbone = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, frozen_stages=2)
    model = dict(type='ImageClassifier', backbone=backbone)
    taps = [f'backbone.layer{i}' for i in (1, 2, 3)]
    MODELS.build(dict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=model, taps=taps),
        teacher=dict(model=model, checkpoint='init_cfg', taps=taps)))
    found = [text for text in logged if 'no trainable parameter' in text]
    assert ["'backbone.layer1'" in text for text in found] == [True, False] and "'backbone.layer2'" in found[1]


def test_a_head_that_all_levels_share_is_logged(logged):
    init_default_scope('mmdet')
    model = mmdet_model('retinanet/retinanet_r18_fpn_1x_coco.py')
    MODELS.build(dict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=model, taps=['bbox_head.cls_convs[-1]']),
        teacher=dict(model=model, checkpoint='init_cfg', taps=['bbox_head.cls_convs[-1]'])))
    assert sum('is called 5 times, once per level of a pyramid' in text for text in logged) == 2


def test_a_teacher_that_is_a_distiller_is_logged(logged):
    MODELS.build(review_config(teacher=dict(
        model=review_config(), checkpoint='init_cfg', taps=[f'student.{tap}' for tap in STAGES_BEFORE_RELU])))
    assert any('teacher.model is itself a ReviewDistiller' in text for text in logged)
