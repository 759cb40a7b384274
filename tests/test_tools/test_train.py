"""From a config to a trained, resumed, tested and exported student, in processes of their own."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, run_tool, small_run

from mmreviewkd.studies.without_plugin import command_to_test_student

pytest.importorskip('mmpretrain')

TOOLS = ROOT / 'tools'
REVIEW = 'resnet8_review-resnet14.py'


def scalars(work_dir: Path) -> dict[int, dict]:
    """What the latest run in a work dir logged while training, by iteration."""
    latest = max(work_dir.glob('*/vis_data/scalars.json'))
    lines = map(json.loads, latest.read_text().splitlines())
    return {line['step']: line for line in lines if 'loss' in line}


@pytest.fixture(scope='module')
def config(tmp_path_factory, fashion_mnist):
    path = tmp_path_factory.mktemp('config') / 'review.py'
    small_run(REVIEW, fashion_mnist, **{'model.warmup_iters': 8}).dump(path)
    return path


@pytest.fixture(scope='module')
def run(config, tmp_path_factory):
    """A whole run of two epochs of six iterations."""
    work_dir = tmp_path_factory.mktemp('run')
    run_tool(TOOLS / 'train.py', config, '--work-dir', work_dir, cwd=work_dir)
    return work_dir


def test_trains_and_logs_the_warm_up(run):
    log = scalars(run)
    assert sorted(log) == list(range(1, 13))
    # LoggerHook averages the window of an interval, here one iteration; iterations are counted from 0 inside.
    weights = [log[step]['distill_weight'] for step in sorted(log)]
    assert weights == pytest.approx([10 * min(1, i / 8) for i in range(12)], rel=1e-4)
    for line in log.values():
        assert line['loss'] > line['loss_distill'] >= 0
    assert torch.load(run / 'epoch_2.pth', weights_only=False)['meta']['epoch'] == 2


def test_a_killed_run_resumes_where_it_was_killed(config, run, tmp_path):
    options = (
        '--work-dir', tmp_path, '--cfg-options', 'default_hooks.checkpoint.max_keep_ckpts=2',
        'default_hooks.checkpoint.interval=1')
    command = [sys.executable, TOOLS / 'train.py', config, *options]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / 'last_checkpoint').exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    (tmp_path / 'epoch_2.pth').unlink(missing_ok=True)  # where the kill came late on a busy machine

    run_tool(TOOLS / 'train.py', config, *options, '--resume', cwd=tmp_path)
    resumed, whole = scalars(tmp_path), scalars(run)
    assert sorted(resumed) == list(range(7, 13))
    for step, line in resumed.items():
        for key in ('epoch', 'lr', 'distill_weight'):
            assert line[key] == pytest.approx(whole[step][key]), (step, key)
    assert (tmp_path / 'student' / 'student.pth').exists()


def test_the_exported_student_needs_no_plugin_and_predicts_the_same(config, run, tmp_path):
    own = run_tool(
        TOOLS / 'test.py', config, run / 'epoch_2.pth', '--out', tmp_path / 'inside.pkl', '--work-dir', tmp_path,
        cwd=tmp_path)
    assert 'accuracy/top1' in own.stdout + own.stderr
    run_tool(
        *command_to_test_student('mmpretrain', run / 'student' / 'student.py'),
        '--out', tmp_path / 'plain.pkl', '--out-item', 'pred', '--work-dir', tmp_path, cwd=tmp_path, PYTHONPATH='')
    with open(tmp_path / 'inside.pkl', 'rb') as inside, open(tmp_path / 'plain.pkl', 'rb') as plain:
        inside, plain = pickle.load(inside), pickle.load(plain)
    assert len(inside) == len(plain) == 200
    for ours, theirs in zip(inside, plain):
        assert torch.equal(ours['pred_score'], theirs['pred_score'])

    state = torch.load(run / 'epoch_2.pth', weights_only=False)['state_dict']
    student = torch.load(run / 'student' / 'student.pth', weights_only=True)
    assert student['meta']['dataset_meta']['classes'][0] == 'T-shirt/top'
    inside = {name[8:]: value for name, value in state.items() if name.startswith('student.')}
    assert list(student['state_dict']) == list(inside)
    assert all(torch.equal(student['state_dict'][name], value) for name, value in inside.items())
    text = (run / 'student' / 'student.py').read_text()
    assert 'mmreviewkd' not in text and 'teacher' not in text

    run_tool(TOOLS / 'export_student.py', config, run / 'epoch_2.pth', '--out', tmp_path / 'again', cwd=tmp_path)
    again = torch.load(tmp_path / 'again' / 'student.pth', weights_only=True)
    assert again['meta'] == student['meta']
    assert all(torch.equal(again['state_dict'][name], value) for name, value in student['state_dict'].items())


def test_two_processes_train_and_test_one_student(config, tmp_path):
    run_tool(
        TOOLS / 'dist_train.sh', config, 2, '--work-dir', tmp_path, '--no-validate',
        '--cfg-options', 'model.warmup_iters=4', cwd=tmp_path, PORT='29517')
    # 384 images by 64 on each of 2 processes.
    assert sorted(scalars(tmp_path)) == list(range(1, 7))
    assert (tmp_path / 'student' / 'student.py').exists()
    run_tool(
        TOOLS / 'dist_test.sh', config, tmp_path / 'epoch_2.pth', 2, '--work-dir', tmp_path / 'test', cwd=tmp_path,
        PORT='29518')
    apart = json.loads(max((tmp_path / 'test').glob('*/*.json')).read_text().splitlines()[-1])['accuracy/top1']
    run_tool(
        TOOLS / 'test.py', config, tmp_path / 'epoch_2.pth', '--work-dir', tmp_path / 'alone', cwd=tmp_path)
    together = json.loads(max((tmp_path / 'alone').glob('*/*.json')).read_text().splitlines()[-1])['accuracy/top1']
    assert apart == together


def test_bad_input_ends_in_one_line(config, run, tmp_path):
    def error(*command):
        done = run_tool(*command, cwd=tmp_path, check=False)
        assert done.returncode == 2, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith('error: ') and 'Traceback' not in done.stderr
        return last

    (tmp_path / 'file').write_text('')
    assert 'work_dir: cannot write to' in error(TOOLS / 'train.py', config, '--work-dir', tmp_path / 'file' / 'dir')
    assert 'no config file' in error(TOOLS / 'train.py', 'absent.py')
    if not torch.cuda.is_available():
        assert '--amp' in error(TOOLS / 'train.py', config, '--amp', '--work-dir', tmp_path)
    assert "teacher.checkpoint: there is no file 'no.pth'" in error(
        TOOLS / 'train.py', config, '--work-dir', tmp_path, '--cfg-options', 'model.teacher.checkpoint=no.pth')
    assert 'does not fit ImageClassifier' in error(
        TOOLS / 'test.py', config, run / 'student' / 'student.pth', '--work-dir', tmp_path)


def test_a_bad_config_ends_several_processes_without_a_traceback(tmp_path):
    done = run_tool(TOOLS / 'dist_train.sh', 'absent.py', 1, cwd=tmp_path, check=False, PORT='29519')
    assert done.returncode == 2
    assert "error: config: there is no config file 'absent.py'" in done.stderr and 'Traceback' not in done.stderr
    assert done.stderr.strip().endswith(
        'error: process 0 of the run ended with exit code 2; its last lines above say why')
