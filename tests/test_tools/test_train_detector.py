"""The Mask R-CNN pair of the Fashion-MNIST scenes, from data to an exported student, in processes of their own."""

import json
import pickle
import signal

import numpy as np
import pytest
import torch
from conftest import ROOT, run_tool
from mmengine.config import Config

from mmreviewkd.studies.fashion_scenes import make_fashion_scenes
from mmreviewkd.studies.without_plugin import command_to_test_student

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmdet')
rle = pytest.importorskip('pycocotools.mask')

TOOLS = ROOT / 'tools'
REVIEW = 'mask-rcnn_r18_review-r34'
# Python that runs a tool until it is killed, in the middle of the second epoch.
KILLED_AT_STEP_11 = (
    'import itertools, os, runpy, signal, sys; from mmreviewkd.models import ReviewDistiller as R\n'
    'step, count = R.train_step, itertools.count(1)\n'
    'kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n'
    'R.train_step = lambda *a, **k: kill() if next(count) == 11 else step(*a, **k)\n'
    'sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")')


@pytest.fixture(scope='module')
def place(fashion_mnist, tmp_path_factory):
    """A folder in which the configs find their data."""
    folder = tmp_path_factory.mktemp('place')
    make_fashion_scenes(folder / 'data' / 'fashion_scenes', fashion_mnist, 16, 6)
    return folder


@pytest.fixture(scope='module')
def config(place):
    """Two epochs of eight iterations."""
    cfg = Config.fromfile(ROOT / 'configs' / 'fashion_scenes' / f'{REVIEW}.py')
    cfg.train_cfg.update(max_epochs=2, val_interval=2)
    cfg.param_scheduler.total_steps = 2
    cfg.train_dataloader.batch_size = 2
    cfg.default_hooks.checkpoint.interval = 1
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    cfg.model.teacher.checkpoint = 'init_cfg'
    cfg.model.student.model.test_cfg.rcnn.score_thr = 0.0  # even a student of few steps finds something
    cfg.dump(place / f'{REVIEW}.py')
    return f'{REVIEW}.py'


@pytest.fixture(scope='module')
def run(config, place):
    run_tool(TOOLS / 'train.py', config, cwd=place)
    return place / 'work_dirs' / REVIEW


def scalars(work_dir):
    """What the latest run in a work dir logged while training, by iteration."""
    lines = map(json.loads, max(work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines())
    return {line['step']: line for line in lines if 'loss' in line}


@pytest.mark.exhaustive
def test_a_killed_run_resumes_where_it_was_killed(config, run, place, tmp_path):
    killed = run_tool(
        '-c', KILLED_AT_STEP_11, TOOLS / 'train.py', config, '--work-dir', tmp_path, cwd=place, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert 'epoch_1.pth' in (tmp_path / 'last_checkpoint').read_text()
    assert not (tmp_path / 'student').exists()

    run_tool(TOOLS / 'train.py', config, '--work-dir', tmp_path, '--resume', cwd=place)
    resumed, whole = scalars(tmp_path), scalars(run)
    assert sorted(whole) == list(range(1, 17))
    assert sorted(resumed) == list(range(9, 17))
    for step, line in resumed.items():
        assert line['loss'] > line['loss_distill'] > 0
        for key in ('epoch', 'lr', 'distill_weight'):
            assert line[key] == pytest.approx(whole[step][key]), (step, key)
    last = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)
    assert (last['meta']['epoch'], last['meta']['iter']) == (2, 16)
    student = torch.load(tmp_path / 'student' / 'student.pth', weights_only=True)['state_dict']
    assert all(torch.equal(last['state_dict'][f'student.{name}'], value) for name, value in student.items())


def test_a_run_ends_in_a_student_that_predicts_the_same(config, run, place, tmp_path):
    run_tool(
        TOOLS / 'test.py', config, run / 'epoch_2.pth', '--out', tmp_path / 'inside.pkl',
        '--work-dir', tmp_path, '--show-dir', 'drawn', cwd=place)
    assert len(list((place / 'drawn').glob('*.png'))) == 6
    done = run_tool(
        *command_to_test_student('mmdet', run / 'student' / 'student.py'),
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
