"""The Mask R-CNN pair of the Fashion-MNIST scenes, from data to an exported student, in processes of their own."""

import pickle
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from conftest import ROOT, run_tool
from mmengine.config import Config
from pycocotools import mask as rle

from mmreviewkd.datasets.fashion_scenes import make_fashion_scenes

TOOLS = ROOT / 'tools'
REVIEW = 'mask-rcnn_r18_review-r34'
WITHOUT_PLUGIN = (
    'import runpy, sys; sys.modules["mmreviewkd"] = None; sys.argv = sys.argv[1:]; '
    'runpy.run_path(sys.argv[0], run_name="__main__")')


@pytest.fixture(scope='module')
def place(fashion_mnist, tmp_path_factory):
    """A folder in which the configs find their data."""
    folder = tmp_path_factory.mktemp('place')
    make_fashion_scenes(folder / 'data' / 'fashion_scenes', fashion_mnist, 16, 6)
    return folder


def test_a_run_ends_in_a_student_that_predicts_the_same(place, tmp_path):
    cfg = Config.fromfile(ROOT / 'configs' / 'fashion_scenes' / f'{REVIEW}.py')
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.param_scheduler.total_steps = 1
    cfg.model.teacher.checkpoint = 'init_cfg'
    cfg.model.student.model.test_cfg.rcnn.score_thr = 0.0  # even a student of two steps finds something
    cfg.dump(place / f'{REVIEW}.py')
    run_tool(TOOLS / 'train.py', f'{REVIEW}.py', cwd=place)

    run = place / 'work_dirs' / REVIEW
    run_tool(
        TOOLS / 'test.py', f'{REVIEW}.py', run / 'epoch_1.pth', '--out', tmp_path / 'inside.pkl',
        '--work-dir', tmp_path, '--show-dir', 'drawn', cwd=place)
    assert len(list((place / 'drawn').glob('*.png'))) == 6
    tool = Path(mmdet.__file__).parent / '.mim' / 'tools' / 'test.py'
    done = run_tool(
        '-c', WITHOUT_PLUGIN, tool, run / 'student' / 'student.py', run / 'student' / 'student.pth',
        '--out', tmp_path / 'plain.pkl', '--work-dir', tmp_path, cwd=place, PYTHONPATH='')
    assert 'coco/bbox_mAP' in done.stdout + done.stderr
    assert 'coco/segm_mAP' in done.stdout + done.stderr
    with open(tmp_path / 'inside.pkl', 'rb') as inside, open(tmp_path / 'plain.pkl', 'rb') as plain:
        inside, plain = pickle.load(inside), pickle.load(plain)
    assert len(inside) == len(plain) == 6
    for ours, theirs in zip(inside, plain):
        ours, theirs = ours['pred_instances'], theirs['pred_instances']
        assert len(theirs['scores']) > 0
        assert np.array_equal(ours['masks'], np.stack([rle.decode(mask) for mask in theirs['masks']]))
        for key in ('bboxes', 'scores', 'labels'):
            assert torch.equal(ours[key], theirs[key])
