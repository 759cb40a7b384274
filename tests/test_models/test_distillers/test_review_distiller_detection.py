"""The distiller with mmdet's detectors: losses, gradients and training flags."""

import copy

import pytest
import torch
from detection import (
    fashion_model,
    fpn_distiller,
    gradients,
    losses_of,
    raw_batch,
    same,
    started,
    total,
)
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed
from textbook import hcl, review_path

from mmreviewkd.utils.errors import ConfigError


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet')


@pytest.fixture
def student():
    return fashion_model('mask-rcnn_r18')


@pytest.fixture
def teacher():
    return fashion_model('mask-rcnn_r34')


@pytest.mark.parametrize('detector', ['mask-rcnn', 'faster-rcnn', 'retinanet'])
def test_every_student_parameter_learns_and_no_teacher_parameter_does(detector, teacher):
    model = started(fpn_distiller(fashion_model(f'{detector}_r18'), teacher))
    loss = total(model, losses_of(model, raw_batch()))
    loss.backward()
    assert torch.isfinite(loss)
    assert [name for name, grad in gradients(model).items() if grad is None] == []
    assert all(parameter.grad is None for parameter in model.frozen_teacher.model.parameters())
    assert not any('teacher' in name for name in model.state_dict())


def test_one_step_equals_the_step_assembled_by_hand(student, teacher):
    """The loss and every gradient of a Mask R-CNN, from plain mmdet, the paper's formulas and autograd."""
    set_random_seed(0)
    model = started(fpn_distiller(student, teacher, weight=3.0))
    batch = raw_batch()
    set_random_seed(1)
    losses = losses_of(model, batch)
    total(model, losses).backward()
    found = gradients(model)

    model.zero_grad()
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    set_random_seed(1)
    own = model.student.loss(data['inputs'], data['data_samples'])
    features = model.student.extract_feat(data['inputs'])
    with torch.no_grad():
        targets = model.frozen_teacher.model.extract_feat(data['inputs'])
    state = dict(model.connector.named_parameters())
    outputs = review_path(features, [target.shape[2:] for target in targets], state)
    by_hand = 3.0 * hcl(outputs, targets)
    (total(model, own) + by_hand).backward()

    assert len(targets) == 5
    torch.testing.assert_close(losses['loss_distill'], by_hand, rtol=1e-4, atol=1e-6)
    assert {name: value for name, value in losses.items() if name in own}.keys() == own.keys()
    for name, grad in gradients(model).items():
        torch.testing.assert_close(found[name], grad, rtol=1e-3, atol=1e-4, msg=lambda text, n=name: f'{n}: {text}')


def test_without_weight_a_run_equals_plain_mmdet(student, teacher):
    """Same losses and same weights after three steps, bit for bit."""
    histories = []
    for distilled in (False, True):
        set_random_seed(0)
        model = started(fpn_distiller(student, teacher, weight=0.0) if distilled else MODELS.build(student))
        optim = build_optim_wrapper(model, dict(
            type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
            clip_grad=dict(max_norm=10)))
        logs = [model.train_step(raw_batch(), optim) for _ in range(3)]
        histories.append((logs, (model.student if distilled else model).state_dict()))
    (plain_logs, plain), (logs, found) = histories
    assert same(found, plain)
    for log, plain_log in zip(logs, plain_logs):
        assert log.pop('loss_distill') == 0
        log.pop('distill_weight')
        assert log.keys() == plain_log.keys()
        assert all(torch.equal(log[key], plain_log[key]) for key in log if key != 'grad_norm')


def test_pyramids_of_differing_levels_are_refused_with_both_tables(student, teacher):
    teacher.neck.num_outs = 4
    teacher.rpn_head.anchor_generator.strides = [4, 8, 16, 32]
    with pytest.raises(ConfigError, match=r'(?s)5 levels of the student but 4 of the teacher.*'
                                          r'neck:output\[4\] +16 channels.*teacher.*neck:output\[3\] +32 channels'):
        fpn_distiller(student, teacher)


def test_frozen_stages_and_norm_eval_stay_as_in_plain_mmdet(student, teacher):
    student.backbone.update(frozen_stages=1, norm_eval=True)
    plain = MODELS.build(student).train()
    model = fpn_distiller(student, teacher).train()
    inside = model.student
    assert {n: m.training for n, m in inside.named_modules()} == {n: m.training for n, m in plain.named_modules()}
    frozen = {n for n, p in plain.named_parameters() if not p.requires_grad}
    assert {n for n, p in inside.named_parameters() if not p.requires_grad} == frozen
    assert 'backbone.layer1.0.conv1.weight' in frozen


def test_checkpointing_in_the_student_changes_no_gradient(student, teacher):
    found = []
    for with_cp in (False, True):
        student.backbone.with_cp = with_cp
        set_random_seed(0)
        model = started(fpn_distiller(student, teacher))
        set_random_seed(1)
        total(model, losses_of(model, raw_batch())).backward()
        found.append(gradients(model))
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, rtol=1e-4, atol=1e-6)


def test_mixed_precision_compares_features_in_single_precision():
    model = started(fpn_distiller(fashion_model('retinanet_r18'), fashion_model('mask-rcnn_r34')))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = losses_of(model, raw_batch())
    assert losses['loss_distill'].dtype == torch.float32
    total(model, losses).backward()
    assert all(torch.isfinite(grad).all() for grad in gradients(model).values())


def test_ddp_finds_no_unused_parameter(student, teacher, tmp_path):
    from mmengine.model import MMDistributedDataParallel
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        model = MMDistributedDataParallel(started(fpn_distiller(student, teacher)))
        optim = build_optim_wrapper(model, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)))
        for _ in range(3):  # a parameter without a gradient stops the step after
            log = model.train_step(raw_batch(), optim)
        assert torch.isfinite(log['loss'])
    finally:
        torch.distributed.destroy_process_group()
