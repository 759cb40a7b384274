"""Small detectors and COCO-format data for tests."""

import copy
import functools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS

from mmreviewkd.utils.config import without_pretrained

# Without mmdet, its dependencies or mmcv's ops, the tests that use this are skipped.
pytest.importorskip('mmcv.ops')
mmdet = pytest.importorskip('mmdet')
rle = pytest.importorskip('pycocotools.mask')

CAFFE = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)
SHAPES = [(3, 90, 128), (3, 96, 70)]


def raw_batch(shapes=SHAPES, num_classes=10, with_mask=True):
    """A batch as a data loader gives it: images of differing, non-square sizes, boxes and masks."""
    from mmdet.testing import demo_mm_inputs
    return demo_mm_inputs(
        batch_size=len(shapes), image_shapes=list(shapes), num_items=[3] * len(shapes), num_classes=num_classes,
        with_mask=with_mask)


def few_rois(model):
    """The same detector, whose second stage trains and tests on few regions."""
    if 'roi_head' in model:
        stages = model.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = 32
        model.test_cfg.rcnn.max_per_img = 5
    return model


def write_coco(folder, sizes, seed=0):
    """A COCO data set of 80 categories as mmdet expects it: noise with one polygon of each of three categories."""
    rng = np.random.default_rng(seed)
    names = coco_classes()
    images, annotations = [], []
    for i, (height, width) in enumerate(sizes):
        images.append(dict(id=i, file_name=f'{i:012}.jpg', height=height, width=width))
        for category in (1, 18, 80):
            w, h = rng.integers(width // 4, width // 2), rng.integers(height // 4, height // 2)
            x, y = rng.integers(width - w), rng.integers(height - h)
            polygon = [int(v) for v in (x, y, x + w, y, x + w, y + h, x, y + h)]
            annotations.append(dict(
                id=len(annotations) + 1, image_id=i, category_id=category, iscrowd=0, segmentation=[polygon],
                bbox=[int(x), int(y), int(w), int(h)],
                area=float(rle.area(rle.frPyObjects([polygon], height, width))[0])))
    coco = dict(
        images=images, annotations=annotations,
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(names)])
    (folder / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        (folder / f'{split}2017').mkdir()
        (folder / f'annotations/instances_{split}2017.json').write_text(json.dumps(coco))
        for image in images:
            noise = rng.integers(0, 255, (image['height'], image['width'], 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f'{split}2017' / image['file_name']), noise)


def coco_classes():
    """The names of COCO's 80 categories."""
    from mmdet.datasets import CocoDataset
    return CocoDataset.METAINFO['classes']


def batch_of(dataset, count=2):
    """The first items of a data set, collated."""
    return pseudo_collate([dataset[i] for i in range(count)])


def gradients(model):
    """The gradients of a model's parameters, by name."""
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def same(a, b):
    """Whether two dicts of tensors are the same, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def fashion_model(name):
    """The model dict of a config of configs/fashion_scenes, to be changed at will."""
    return copy.deepcopy(_config(ROOT / f'configs/fashion_scenes/{name}.py').model)


def mmdet_model(path):
    """The model dict of one of mmdet's own configs; it downloads nothing."""
    return without_pretrained(_config(Path(mmdet.__file__).parent / '.mim/configs' / path).model)


@functools.cache
def _config(path):
    return Config.fromfile(path)


def fpn_distiller(student, teacher, weight=1.0, **kwargs):
    """A distiller of FPN levels whose teacher has random weights."""
    return MODELS.build(ConfigDict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=student, taps=['neck']),
        teacher=dict(model=teacher, checkpoint='init_cfg', taps=['neck']),
        connector=dict(type='ReviewConnector', mid_channels=16),
        distill_loss=dict(type='HierarchicalContextLoss', loss_weight=weight), **kwargs))


def started(model):
    """A model with initialized weights, in training mode."""
    model.init_weights()
    return model.train()


def losses_of(model, batch):
    """The losses of a raw batch, which is left as it is."""
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    return model(**data, mode='loss')


def total(model, losses):
    """The sum that a training step differentiates."""
    return model.parse_losses(losses)[0]
