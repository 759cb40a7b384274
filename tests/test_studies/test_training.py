"""A training is run, tested and recorded once."""

import json
import threading
import time

import pytest
import torch
from conftest import ROOT, small_run
from mmengine.registry import MODELS

from mmreviewkd.studies.training import Training, complexity, share_done, stop_trainings
from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.config import model_config


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


def test_a_training_is_done_once(fashion_mnist, tmp_path):
    config = tmp_path / 'resnet8_review.py'
    small_run('resnet8_review-resnet14.py', fashion_mnist).dump(config)
    teacher = MODELS.build(model_config('mmreviewkd::fashion_mnist/resnet14.py', 'teacher'))
    torch.save(teacher.state_dict(), tmp_path / 'teacher.pth')
    training = Training(
        'review', str(config), tmp_path / 'run',
        {'randomness.seed': 3, 'model.teacher.checkpoint': tmp_path / 'teacher.pth'})
    result = training.run()
    assert 0 <= result['metrics']['accuracy/top1'] <= 100
    # Stem, three stages of one block with their shortcuts, and the classifier.
    assert result['parameters'] == 19810
    assert result['curve']['iteration'] == list(range(1, 13))
    assert result['train_minutes'] > 0
    # The loss of the task alone, not the total.
    assert 0 < result['curve']['loss'][0] < 4
    log = (training.work_dir / 'train.log').stat().st_mtime_ns
    assert training.run() == json.loads(json.dumps(result))
    assert (training.work_dir / 'train.log').stat().st_mtime_ns == log



def test_a_failed_tool_is_named_with_its_log(tmp_path):
    training = Training('absent', str(tmp_path / 'absent.py'), tmp_path / 'run')
    with pytest.raises(ConfigError, match=r'train.log: error: config: there is no config file'):
        training.run()
    assert not training.result_file.exists()


@pytest.mark.slow
def test_trainings_in_threads_are_stopped_and_read_the_number_of_their_threads(tmp_path):
    config = tmp_path / 'endless.py'
    config.write_text(
        'print("threads", __import__("os").environ["OMP_NUM_THREADS"], flush=True)\n__import__("time").sleep(600)')
    training = Training('endless', str(config), tmp_path / 'run', threads=3)
    errors = []

    def run():
        try:
            training.run()
        except ConfigError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    log = training.work_dir / 'train.log'
    deadline = time.monotonic() + 60
    while not (log.exists() and 'threads 3' in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.2)
    stop_trainings()
    thread.join(30)
    assert len(errors) == 1 and 'ended with exit code -9' in errors[0]


def test_complexity_is_that_of_the_student():
    pytest.importorskip('mmpretrain')
    alone, pair = (complexity(str(ROOT / f'configs/fashion_mnist/{name}.py'))
                   for name in ('resnet8', 'resnet8_review-resnet14'))
    # Stem, three stages of one block with their shortcuts, and the classifier.
    assert alone == pair and pair['parameters'] == 19810
    # Multiply-adds of the convolutions and the classifier, and what fvcore counts for norms and pooling.
    assert 2.2e6 < pair['flops'] < 2.6e6


def test_the_share_done_follows_the_time_left_that_the_log_names(tmp_path):
    log = tmp_path / 'train.log'
    log.write_text('Epoch(train) [1][20/100]  eta: 1 day, 0:00:00  time: 1.0\nnext run\n')
    start = log.stat().st_size
    assert share_done(log, 0, 86400.0) == 0.5
    assert share_done(log, start, 10.0) == 0.0  # what an earlier run has written does not count
    with open(log, 'a') as file:
        file.write('Epoch(train) [1][20/100]  eta: 0:10:00\nEpoch(train) [1][40/100]  eta: 0:00:30  time: 1.0\n')
    assert share_done(log, start, 10.0) == 0.25
