"""A student that trains semi-supervised, with a mean teacher of its own beside the frozen one."""

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detection import CAFFE, raw_batch, same
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from textbook import hcl, review_path

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import ConfigError

MeanTeacherHook = pytest.importorskip('mmdet.engine.hooks').MeanTeacherHook
TeacherStudentValLoop = pytest.importorskip('mmdet.engine.runner').TeacherStudentValLoop
CONFIGS = Path(__file__).parents[3] / 'configs'


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet')


def detector(name):
    return Config.fromfile(CONFIGS / f'fashion_scenes/{name}.py').model


def soft_teacher():
    """Keeps even the boxes of which an untrained network is unsure."""
    inner = detector('faster-rcnn_r18')
    return ConfigDict(
        type='SoftTeacher', detector=inner,
        data_preprocessor=dict(type='MultiBranchDataPreprocessor', data_preprocessor=inner.data_preprocessor),
        semi_train_cfg=dict(
            freeze_teacher=True, sup_weight=1.0, unsup_weight=4.0, pseudo_label_initial_score_thr=0.05,
            rpn_pseudo_thr=0.05, cls_pseudo_thr=0.05, reg_pseudo_thr=10.0, jitter_times=2, jitter_scale=0.06,
            min_pseudo_bbox_wh=(1e-2, 1e-2)),
        semi_test_cfg=dict(predict_on='teacher', extract_feat_on='student'))


def distiller(weight, **teacher):
    frozen = detector('mask-rcnn_r34')
    frozen.data_preprocessor.update(teacher)
    return MODELS.build(ConfigDict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=soft_teacher(), taps=['student.neck']),
        teacher=dict(model=frozen, checkpoint='init_cfg', taps=['neck']),
        connector=dict(type='ReviewConnector', mid_channels=16),
        distill_loss=dict(type='HierarchicalContextLoss', loss_weight=weight)))


def batch():
    """One image with boxes and one without, which mean teacher and student see in two ways."""
    found = raw_batch([(3, 64, 96), (3, 64, 80), (3, 64, 80)], with_mask=False)
    for sample in found['data_samples']:
        sample.set_metainfo(dict(homography_matrix=np.eye(3, dtype=np.float32)))
    branches = {'sup': (0, None), 'unsup_teacher': (None, 1), 'unsup_student': (None, 2)}
    return {
        key: {name: [None if i is None else items[i] for i in picked] for name, picked in branches.items()}
        for key, items in found.items()}


def trained(model, steps=2, **hook):
    """Steps of training with mmdet's hook, and their logs."""
    hook = MeanTeacherHook(momentum=0.1, **hook)
    set_random_seed(0)
    model.init_weights()
    model.train()
    optim = build_optim_wrapper(model, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02)))
    runner = SimpleNamespace(model=model, iter=0)
    hook.before_train(runner)
    logs = []
    for runner.iter in range(steps):
        logs.append(model.train_step(batch(), optim))
        hook.after_train_iter(runner, runner.iter)
    return logs


@pytest.mark.parametrize('skip_buffer', [True, False])
def test_the_hook_averages_the_students_own_student_as_in_plain_mmdet(skip_buffer):
    """Same losses, and same weights of student and mean teacher, bit for bit."""
    plain, model = MODELS.build(soft_teacher()), distiller(0.0)
    plain_logs, logs = trained(plain, skip_buffer=skip_buffer), trained(model, skip_buffer=skip_buffer)
    assert same(model.student.state_dict(), plain.state_dict())
    for log, plain_log in zip(logs, plain_logs):
        assert plain_log['unsup_loss_cls'] > 0
        assert log['loss_distill'] == 0
        assert all(torch.equal(log[key], plain_log[key]) for key in plain_log)

    inner, mean = plain.student.state_dict(), plain.teacher.state_dict()
    name = 'neck.lateral_convs.0.conv.weight'
    assert model.teacher is model.student.teacher
    assert not torch.equal(inner[name], mean[name])


class Scores(BaseMetric):
    """The sum of all scores."""

    def process(self, data_batch, data_samples):
        self.results += [float(sample['pred_instances']['scores'].sum()) for sample in data_samples]

    def compute_metrics(self, results):
        return dict(sum=sum(results))


def validated(model):
    """What mmdet's loop finds of the mean teacher and of the student."""
    metrics = {}
    images = torch.utils.data.DataLoader(
        [0], collate_fn=lambda _: raw_batch([(3, 64, 96)], with_mask=False))
    runner = SimpleNamespace(model=model, call_hook=lambda name, **given: metrics.update(given.get('metrics', {})))
    TeacherStudentValLoop(runner, images, Evaluator([Scores()])).run()
    return metrics


def test_mmdets_loop_validates_the_students_own_two():
    plain, model = MODELS.build(soft_teacher()), distiller(1.0)
    trained(plain)
    model.init_weights()
    model.student.load_state_dict(plain.state_dict())
    found = validated(model)
    assert found == validated(plain)
    assert found['teacher/sum'] != found['student/sum'] and min(found.values()) > 0


def test_the_frozen_teacher_sees_what_the_student_sees_last():
    """In its own normalization; the term reaches the student and leaves the mean teacher to the hook."""
    model = distiller(3.0, **CAFFE)
    model.init_weights()
    model.train()
    data = model.data_preprocessor(batch(), training=True)
    raw = batch()
    theirs = model.frozen_teacher.model.data_preprocessor(
        {key: raw[key]['unsup_student'][1:] for key in raw}, training=True)
    set_random_seed(1)
    losses = model(**copy.deepcopy(data), mode='loss')
    features = model.student.student.extract_feat(data['inputs']['unsup_student'])
    with torch.no_grad():
        targets = model.frozen_teacher.model.extract_feat(theirs['inputs'])
    outputs = review_path(
        features, [target.shape[2:] for target in targets], dict(model.connector.named_parameters()))
    torch.testing.assert_close(losses['loss_distill'], 3.0 * hcl(outputs, targets), rtol=1e-4, atol=1e-6)

    losses['loss_distill'].backward()
    assert model.student.student.backbone.conv1.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.student.teacher.parameters())


def test_other_branches_are_refused_by_name():
    model = distiller(1.0)
    model.init_weights()
    with pytest.raises(ConfigError, match=r'branches sup, weak.*unsup_student'):
        model.loss(dict(sup=torch.zeros(1, 3, 64, 64), weak=torch.zeros(1, 3, 64, 64)), dict(sup=[], weak=[]))


def test_a_student_without_a_mean_teacher_has_none_for_the_hook():
    model = MODELS.build(ConfigDict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=detector('retinanet_r18'), taps=['neck']),
        teacher=dict(model=detector('mask-rcnn_r34'), checkpoint='init_cfg', taps=['neck'])))
    for found in (model, model.student):
        with pytest.raises(AssertionError):
            MeanTeacherHook().before_train(SimpleNamespace(model=found, iter=0))


def test_the_exported_student_is_mmdets_own(tmp_path):
    """With its mean teacher and the hook."""
    from mmreviewkd.apis import export_student
    cfg = Config.fromfile(CONFIGS / 'fashion_scenes/faster-rcnn_r18_review-r34.py')
    cfg.model.student = dict(model=soft_teacher(), taps=['student.neck'])
    cfg.custom_hooks = [dict(type='mmreviewkd.ExportStudentHook'), dict(type='MeanTeacherHook')]
    model = MODELS.build(cfg.model)
    exported = Config.fromfile(export_student(cfg, model.state_dict(), tmp_path))
    assert exported.custom_hooks == [dict(type='MeanTeacherHook')]
    plain = MODELS.build(exported.model)
    plain.load_state_dict(torch.load(tmp_path / 'student.pth', weights_only=True)['state_dict'], strict=True)
    assert same(plain.state_dict(), model.student.state_dict())
