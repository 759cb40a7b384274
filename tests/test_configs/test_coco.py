"""Every COCO pair, from its config file to a training step and a prediction, on a data set of COCO's format."""

import copy
import functools
from pathlib import Path

import pytest
import torch
from conftest import others_exhaustive
from detection import batch_of, few_rois, gradients, write_coco
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, init_default_scope

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.config import metafile_weights, model_config

CONFIGS = Path(__file__).parents[2] / 'configs' / 'coco'
PAIRS = sorted(path.stem for path in CONFIGS.glob('*_review-*.py'))


RGB = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
BGR = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)
# What the weights of each teacher were trained with: those that start from Detectron2's caffe backbones see BGR images.
TRAINED_WITH = {
    'mmdet::faster_rcnn/faster-rcnn_r101_fpn_ms-3x_coco.py': RGB,
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_ms-3x_coco.py': RGB,
    'mmdet::mask_rcnn/mask-rcnn_r101-caffe_fpn_ms-poly-3x_coco.py': BGR,
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco.py': RGB,
    'mmdet::retinanet/retinanet_r101-caffe_fpn_ms-3x_coco.py': BGR,
}


@functools.cache
def _parsed(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def load(name):
    return copy.deepcopy(_parsed(name))


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet')


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    """A landscape and a portrait image of COCO's sizes."""
    folder = tmp_path_factory.mktemp('coco') / 'coco'
    write_coco(folder, [(427, 640), (500, 375)])
    return folder


def test_the_papers_pairs_are_all_here():
    assert sorted([
        'faster-rcnn_r18_review-r101', 'faster-rcnn_r50_review-r101', 'faster-rcnn_mobilenet-v2_review-r50',
        'retinanet_r50_review-r101', 'mask-rcnn_r18_review-r101', 'mask-rcnn_r50_review-r101',
        'mask-rcnn_mobilenet-v2_review-r50'
    ]) == PAIRS


@pytest.mark.parametrize('pair', PAIRS)
def test_the_teacher_sees_what_its_weights_were_trained_with(pair):
    reference = load(pair).model.teacher.model
    expected = TRAINED_WITH[reference]
    config = model_config(reference, 'teacher.model')
    assert {key: config.data_preprocessor[key] for key in expected} == expected
    caffe = 'caffe' in metafile_weights(reference, 'teacher.checkpoint')
    assert caffe == (config.backbone.style == 'caffe') == (expected is BGR)


@pytest.mark.parametrize('pair', others_exhaustive(PAIRS, [
    'mask-rcnn_mobilenet-v2_review-r50', 'retinanet_r50_review-r101']))
def test_dry_run(pair, data_root, hub):
    """The teacher's weights are made up, but found, checked and loaded as those of the zoo."""
    cfg = load(pair)
    hub(cfg.model.teacher.model)
    few_rois(cfg.model.student.model)
    model = MODELS.build(cfg.model).train()
    batch = _first_batch(cfg.train_dataloader.dataset, data_root, (333, 192))
    data = model.data_preprocessor(batch, training=True)
    assert data['inputs'].shape[-2:] == (256, 288)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)

    grads = gradients(model)
    assert [name for name, p in model.named_parameters() if p.requires_grad and grads[name] is None] == []
    assert all(parameter.grad is None for parameter in model.frozen_teacher.model.parameters())

    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optim = build_optim_wrapper(model, cfg.optim_wrapper)
    norms = {p for m in model.connector.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters()}
    undecayed = {p for group in optim.param_groups if group['weight_decay'] == 0 for p in group['params']}
    assert undecayed == norms
    optim.step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {name.split('.')[0] for name in moved} == {'student', 'connector'}

    batch = _first_batch(cfg.val_dataloader.dataset, data_root, (333, 192))
    for result, size in zip(model.eval().val_step(batch), [(427, 640), (500, 375)]):
        found = result.pred_instances
        assert torch.isfinite(found.bboxes).all()
        if pair.startswith('mask'):
            assert found.masks.shape == (len(found), *size)


def _first_batch(dataset, data_root, scale):
    dataset.update(data_root=f'{data_root}/')
    for step in dataset.pipeline:
        if step.type == 'RandomChoiceResize':
            step.scales = [scale]
        elif step.type == 'Resize':
            step.scale = scale
    return batch_of(DATASETS.build(dict(dataset, _scope_='mmdet')))


@pytest.mark.parametrize('pair', PAIRS)
def test_the_baseline_beside_it_differs_in_the_model_alone(pair):
    cfg = load(pair)
    detector, student, _ = pair.split('_')
    baseline = load(f'{detector}_{student}_fpn')
    assert cfg.model.student.model == baseline.model
    for config in (cfg, baseline):
        config.pop('model')
        config.pop('custom_hooks', None)
    assert cfg.to_dict() == baseline.to_dict()
