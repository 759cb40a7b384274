"""Families of detectors that the paper does not distill."""

import copy

import pytest
import torch
from conftest import others_exhaustive
from detection import (
    fashion_model,
    few_rois,
    fpn_distiller,
    gradients,
    losses_of,
    mmdet_model,
    raw_batch,
    started,
    total,
)
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmreviewkd.apis import export_student
from mmreviewkd.utils import ConfigError, TapError


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet')


BEYOND_THE_PAPER = {
    'fcos': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'atss': 'atss/atss_r50_fpn_1x_coco.py',
    'cascade': 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
    'condinst': 'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
    'solov2': 'solov2/solov2-light_r50_fpn_ms-3x_coco.py',
    'deformable_detr': 'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'rtmdet': 'rtmdet/rtmdet_s_8xb32-300e_coco.py',
    'swin': 'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
}


def _narrower(config):
    student = copy.deepcopy(config)
    student.backbone.depth = 18
    student.neck.in_channels = [64, 128, 256, 512][-len(student.neck.in_channels):]
    return student


def _pair_beyond_the_paper(family):
    teacher = few_rois(mmdet_model(BEYOND_THE_PAPER[family]))
    if family == 'rtmdet':
        return mmdet_model('rtmdet/rtmdet_tiny_8xb32-300e_coco.py'), teacher
    if family == 'swin':
        return _narrower(few_rois(mmdet_model('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'))), teacher
    if family == 'deformable_detr':
        teacher.encoder.num_layers = teacher.decoder.num_layers = 1
    if family == 'cascade':
        for head in teacher.roi_head.bbox_head:
            head.fc_out_channels = 32
    if family == 'solov2':
        teacher.test_cfg.nms_pre = 10
    return _narrower(teacher), teacher


@pytest.mark.parametrize('family', others_exhaustive(BEYOND_THE_PAPER, ['swin', 'fcos', 'atss']))
def test_families_beyond_the_paper(family):
    student, teacher = _pair_beyond_the_paper(family)
    # Some of these models leave parameters to init_weights, as whatever was in memory.
    model = started(fpn_distiller(student, teacher))
    batch = raw_batch([(3, 64, 96), (3, 64, 80)], num_classes=80, with_mask=family in ('condinst', 'solov2', 'swin'))
    loss = total(model, losses_of(model, batch))
    loss.backward()
    assert torch.isfinite(loss)
    plain = MODELS.build(student)
    total(started(plain), losses_of(plain, batch)).backward()
    unused = {name for name, p in plain.named_parameters() if p.requires_grad and p.grad is None}
    grads = gradients(model)
    assert {name for name, p in model.named_parameters() if p.requires_grad and grads[name] is None} <= {
        f'student.{name}' for name in unused}
    assert all(parameter.grad is None for parameter in model.frozen_teacher.model.parameters())
    results = model.eval().test_step(batch)
    assert [len(result.pred_instances.bboxes) == len(result.pred_instances.scores) for result in results] == [True] * 2


def test_a_module_that_runs_on_several_branches_of_an_image_is_refused():
    student = mmdet_model('tridentnet/tridentnet_r50-caffe_1x_coco.py')
    taps = ['backbone.layer3']
    model = started(MODELS.build(dict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=few_rois(student), taps=taps),
        teacher=dict(model=mmdet_model('faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py'), checkpoint='init_cfg',
                     taps=taps))))
    batch = raw_batch([(3, 64, 96), (3, 64, 80)], num_classes=80, with_mask=False)
    with pytest.raises(ConfigError, match=r"'backbone.layer3' gives 6 maps in training where the teacher gives 2"):
        losses_of(model, batch)


def test_features_of_regions_are_refused():
    model = fashion_model('faster-rcnn_r18')
    with pytest.raises(TapError, match=r"shared_fcs\[-1\]' gives \d+ maps for one image"):
        MODELS.build(dict(
            type='mmreviewkd.ReviewDistiller', student=dict(model=model, taps=['roi_head.bbox_head.shared_fcs[-1]']),
            teacher=dict(model=model, checkpoint='init_cfg', taps=['roi_head.bbox_head.shared_fcs[-1]'])))


def test_a_student_that_registers_aliases_in_its_first_step_is_exported(tmp_path):
    """DDQ's decoder holds the head's auxiliary branches a second time once it has trained."""
    student = mmdet_model('ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py')
    student.encoder.num_layers, student.decoder.num_layers = 1, 2
    student.num_queries = 30
    cfg = Config(dict(default_scope='mmdet', model=dict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=student, taps=['neck']),
        teacher=dict(model=student, checkpoint='init_cfg', taps=['neck']))))
    model = started(MODELS.build(cfg.model))
    before = set(model.state_dict())
    losses_of(model, raw_batch([(3, 64, 96)], num_classes=80, with_mask=False))
    assert len(set(model.state_dict()) - before) > 10
    plain = MODELS.build(Config.fromfile(export_student(cfg, model.state_dict(), tmp_path)).model)
    plain.load_state_dict(torch.load(tmp_path / 'student.pth', weights_only=True)['state_dict'], strict=True)
