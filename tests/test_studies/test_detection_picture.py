"""The picture of several detectors on the same scenes."""

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config

from mmreviewkd.models.build import build_model
from mmreviewkd.studies.detection_picture import draw_detections
from mmreviewkd.studies.fashion_scenes import make_fashion_scenes

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmdet')
CONFIG = ROOT / 'configs' / 'fashion_scenes' / 'mask-rcnn_r18.py'


def test_a_row_a_scene_and_a_column_a_detector(fashion_mnist, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_fashion_scenes('data/fashion_scenes', fashion_mnist, 1, 2)
    cfg = Config.fromfile(CONFIG)
    cfg.model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=2)
    cfg.dump('config.py')
    model = build_model({**cfg.model, '_scope_': 'mmdet'}, 'model')
    torch.save(dict(state_dict=model.state_dict(), meta={}), 'random.pth')
    pictures = []
    for score in (0.0, 1.1):
        draw_detections({'random': ('config.py', 'random.pth')}, CONFIG, tmp_path / 'picture.png', 2, score)
        pictures.append(cv2.imread('picture.png').astype(int))
    everything, nothing = pictures
    height, width, _ = everything.shape
    assert (height, width) == (2 * 276, 2 * 312)
    # The column of the ground truth stays, that of the detector shows what the score lets through.
    changed = np.abs(everything - nothing).sum((0, 2)) > 0
    assert not changed[:width // 2].any()
    assert changed[width // 2:].any()
