"""The picture of several segmentors on the same scenes."""

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config

from mmreviewkd.models.build import build_model
from mmreviewkd.studies.fashion_scenes import make_fashion_scenes
from mmreviewkd.studies.segmentation_picture import draw_segmentations

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmseg.models')
pytest.importorskip('pycocotools')
CONFIG = ROOT / 'configs' / 'fashion_scenes' / 'fpn_r18.py'


def test_a_row_a_scene_and_columns_of_image_truth_and_segmentors(fashion_mnist, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_fashion_scenes('data/fashion_scenes', fashion_mnist, 1, 2)
    cfg = Config.fromfile(CONFIG)
    cfg.dump('config.py')
    model = build_model({**cfg.model, '_scope_': 'mmseg'}, 'model')
    pictures = []
    for bias in (0, 100):  # of one class: predicted everywhere
        state = model.state_dict()
        state['decode_head.conv_seg.bias'][3] = bias
        torch.save(dict(state_dict=state, meta={}), 'random.pth')
        draw_segmentations({'random': ('config.py', 'random.pth')}, CONFIG, tmp_path / 'picture.png', 2)
        pictures.append(cv2.imread('picture.png').astype(int))
    height, width, _ = pictures[0].shape
    assert (height, width) == (2 * 276, 3 * 312)
    changed = np.abs(pictures[1] - pictures[0]).sum((0, 2)) > 0
    assert not changed[:2 * width // 3].any()
    assert changed[2 * width // 3:].any()
