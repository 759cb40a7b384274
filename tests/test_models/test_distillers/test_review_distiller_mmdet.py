"""mmdet's hooks, export and test-time augmentation with the distiller."""

import copy

import pytest
import torch
from conftest import ROOT
from detection import fashion_model, fpn_distiller, mmdet_model, raw_batch, started
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed

CONFIGS = ROOT / 'configs'


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet')


@pytest.fixture
def student():
    return fashion_model('mask-rcnn_r18')


@pytest.fixture
def teacher():
    return fashion_model('mask-rcnn_r34')


def test_hooks_find_the_detector_in_the_student(student, teacher):
    from types import SimpleNamespace

    from mmdet.engine.hooks import NumClassCheckHook
    model = fpn_distiller(student, teacher)
    assert model.with_neck
    assert model.with_mask
    assert model.roi_head is model.student.roi_head

    def check(classes):
        dataset = SimpleNamespace(metainfo=dict(classes=tuple('abcdefghijkl'[:classes])))
        runner = SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=dataset))
        NumClassCheckHook().before_train_epoch(runner)

    check(10)
    with pytest.raises(AssertionError, match='num_classes'):
        check(11)


def test_a_mode_switch_reaches_the_students_head():
    from types import SimpleNamespace

    from mmdet.engine.hooks import YOLOXModeSwitchHook
    small = mmdet_model('yolox/yolox_tiny_8xb8-300e_coco.py')
    model = fpn_distiller(small, copy.deepcopy(small))
    loader = SimpleNamespace(dataset=SimpleNamespace(update_skip_type_keys=lambda keys: None), persistent_workers=False)
    runner = SimpleNamespace(
        epoch=9, max_epochs=10, model=model, train_dataloader=loader, logger=SimpleNamespace(info=lambda text: None))
    assert not model.student.bbox_head.use_l1
    YOLOXModeSwitchHook(num_last_epochs=1).before_train_epoch(runner)
    assert model.student.bbox_head.use_l1


def test_the_exported_student_is_the_one_inside(student, teacher, tmp_path):
    """The same boxes, masks and scores from plain mmdet's own entry points."""
    import numpy as np
    from mmdet.apis import inference_detector, init_detector

    from mmreviewkd.apis import export_student
    cfg = Config.fromfile(CONFIGS / 'fashion_scenes/mask-rcnn_r18_review-r34.py')
    cfg.model.teacher.update(checkpoint='init_cfg')
    set_random_seed(0)
    model = started(MODELS.build(cfg.model))
    optim = build_optim_wrapper(model, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)))
    model.train_step(raw_batch(), optim)
    config = export_student(cfg, model.state_dict(), tmp_path)

    text = config.read_text()
    assert 'mmreviewkd' not in text
    plain = init_detector(str(config), str(tmp_path / 'student.pth'), device='cpu')
    assert {n: tuple(v.shape) for n, v in plain.state_dict().items()} == {
        n: tuple(v.shape) for n, v in model.student.state_dict().items()}

    image = np.random.default_rng(0).integers(0, 255, (90, 70, 3), dtype=np.uint8)
    model.eval().cfg = plain.cfg
    for detector in (plain, model):
        (detector if detector is plain else detector.student).roi_head.test_cfg.score_thr = 0.0
    expected, found = inference_detector(plain, image).pred_instances, inference_detector(model, image).pred_instances
    assert len(expected) > 0
    for key in ('bboxes', 'labels', 'scores', 'masks'):
        assert torch.equal(torch.as_tensor(found[key]), torch.as_tensor(expected[key]))


def test_tta_gives_the_same_for_distiller_and_exported_student(tmp_path):
    from mmdet.apis import init_detector
    from mmdet.models import DetTTAModel

    from mmreviewkd.apis import export_student
    cfg = Config.fromfile(CONFIGS / 'fashion_scenes/retinanet_r18_review-r34.py')
    cfg.model.teacher.checkpoint = 'init_cfg'
    cfg.model.student.model.test_cfg.score_thr = 0.0
    model = MODELS.build(cfg.model)
    model.student.init_weights()
    config = export_student(cfg, model.state_dict(), tmp_path)
    plain = init_detector(str(config), str(tmp_path / 'student.pth'), device='cpu')

    straight, flipped = raw_batch(with_mask=False), raw_batch(with_mask=False)
    flipped['inputs'] = [image.flip(-1) for image in flipped['inputs']]
    for sample in flipped['data_samples']:
        sample.set_metainfo(dict(flip=True, flip_direction='horizontal'))
    views = {key: [straight[key], flipped[key]] for key in straight}
    settings = ConfigDict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=10)
    found, expected = (
        DetTTAModel(settings, module=module.eval()).test_step(copy.deepcopy(views))
        for module in (model, plain))
    for ours, theirs in zip(found, expected):
        assert len(theirs.pred_instances) == 10
        assert torch.equal(ours.pred_instances.bboxes, theirs.pred_instances.bboxes)
        assert torch.equal(ours.pred_instances.scores, theirs.pred_instances.scores)
