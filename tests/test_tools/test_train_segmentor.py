"""The segmentation pair of the Fashion-MNIST scenes, from data to a student that mmsegmentation's own tool tests."""

import pickle

import cv2
import numpy as np
import pytest
from conftest import ROOT, run_tool
from mmengine.config import Config

from mmreviewkd.studies.fashion_scenes import make_fashion_scenes
from mmreviewkd.studies.without_plugin import command_to_test_student

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmseg.models')
pytest.importorskip('pycocotools.mask')
pytestmark = pytest.mark.slow

TOOLS = ROOT / 'tools'
REVIEW = 'fpn_r18_review-r34'


def test_a_run_ends_in_a_student_that_predicts_the_same(fashion_mnist, tmp_path):
    make_fashion_scenes(tmp_path / 'data' / 'fashion_scenes', fashion_mnist, 5, 3)
    cfg = Config.fromfile(ROOT / 'configs' / 'fashion_scenes' / f'{REVIEW}.py')
    cfg.train_cfg.update(max_iters=3, val_interval=3)
    cfg.param_scheduler.total_steps = 3
    cfg.train_dataloader.update(batch_size=2)
    cfg.train_dataloader.dataset.indices = 4
    cfg.model.warmup_iters = 2
    cfg.model.teacher.checkpoint = 'init_cfg'
    cfg.dump(tmp_path / f'{REVIEW}.py')
    run_tool(TOOLS / 'train.py', f'{REVIEW}.py', cwd=tmp_path)
    run = tmp_path / 'work_dirs' / REVIEW
    run_tool(
        TOOLS / 'test.py', f'{REVIEW}.py', run / 'iter_3.pth', '--out', tmp_path / 'inside.pkl',
        '--work-dir', tmp_path / 'test', cwd=tmp_path)
    done = run_tool(
        *command_to_test_student('mmseg', run / 'student' / 'student.py'), '--out', tmp_path / 'plain',
        '--work-dir', tmp_path / 'test', cwd=tmp_path, PYTHONPATH='')
    assert 'mIoU' in done.stdout + done.stderr
    inside = pickle.loads((tmp_path / 'inside.pkl').read_bytes())
    assert len(inside) == 3
    for number, found in enumerate(inside):
        plain = cv2.imread(str(tmp_path / 'plain' / f'{number:06}.png'), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(found['pred_sem_seg']['data'][0].numpy(), plain)
