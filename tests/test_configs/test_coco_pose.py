"""The pose pair, from its config file to a training step and a prediction, on a data set of COCO's format."""

import json

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from dry_run import trained_step
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmpose.models')

CONFIG = ROOT / 'configs' / 'coco_pose' / 'mobilenet-v2_review-hrnet-w48.py'


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setattr('mmreviewkd.models.taps.probe.SIDES', (64,))  # the teachers are slow on a CPU
    init_default_scope('mmpose')


@pytest.fixture
def data_root(tmp_path):
    """Two images of noise with a person of 17 visible keypoints each."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    (tmp_path / 'annotations').mkdir()
    for split in ('train', 'val'):
        (tmp_path / f'{split}2017').mkdir()
    for i in range(2):
        images.append(dict(id=i, file_name=f'{i:012}.jpg', height=240, width=320))
        points = np.column_stack([rng.integers(40, 200, 17), rng.integers(20, 220, 17), np.full(17, 2)])
        annotations.append(dict(
            id=i, image_id=i, category_id=1, iscrowd=0, area=160 * 200, bbox=[40, 20, 160, 200], num_keypoints=17,
            keypoints=points.flatten().tolist()))
        for split in ('train', 'val'):
            noise = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / f'{split}2017' / images[-1]['file_name']), noise)
    for split in ('train', 'val'):
        (tmp_path / f'annotations/person_keypoints_{split}2017.json').write_text(json.dumps(dict(
            images=images, annotations=annotations, categories=[dict(id=1, name='person')])))
    return f'{tmp_path}/'


def test_dry_run(data_root, hub):
    """The teacher's weights are made up, but found, checked and loaded as those of the zoo."""
    cfg = Config.fromfile(CONFIG)
    hub(cfg.model.teacher.model)
    model = trained_step(cfg, first_batch(cfg.train_dataloader.dataset, data_root))
    cfg.val_dataloader.dataset.bbox_file = None
    for result in model.val_step(first_batch(cfg.val_dataloader.dataset, data_root)):
        assert result.pred_instances.keypoints.shape == (1, 17, 2)
        assert torch.isfinite(torch.as_tensor(result.pred_instances.keypoint_scores)).all()


def first_batch(dataset, data_root):
    dataset.data_root = data_root
    built = DATASETS.build(dict(dataset, _scope_='mmpose'))
    return pseudo_collate([built[i] for i in range(2)])
