"""The search of a loss weight: what it trains, on what, and what it chooses."""

import importlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, run_tool, small_run
from mmengine.config import Config

from mmreviewkd.apis import WeightSearch, find_loss_weight
from mmreviewkd.models import HierarchicalContextLoss
from mmreviewkd.utils import ConfigError

module = importlib.import_module('mmreviewkd.apis.find_loss_weight')


@pytest.fixture
def config(fashion_mnist, tmp_path):
    def write(name='resnet8_review-resnet14.py', **options):
        cfg = small_run(name, fashion_mnist, **options)
        cfg.dump(tmp_path / 'pair.py')
        return str(tmp_path / 'pair.py')
    return write


@pytest.fixture
def search(monkeypatch, tmp_path, config):
    """Searches with made-up scores by weight and seed instead of trainings; gives the search and what was tried."""
    def run(score, options=None, **arguments):
        tried = []

        def trial(trial_config, weights, seed, work_dir):
            tried.append((*weights.values(), seed))
            value = score(*weights.values(), seed)
            return dict(metrics=None if value is None else {'accuracy/top1': value, 'other': -value})

        monkeypatch.setattr(module, '_trial', trial)
        found = find_loss_weight(config(**options or {}), work_dir=str(tmp_path / 'search'), **arguments)
        return (*found, tried)
    return run


def peak(at):
    return lambda weight, seed: 80 - (math.log10(weight / at) ** 2 if weight else 30) + seed


def test_the_best_mean_wins_and_every_seed_is_trained(search):
    found, tried = search(peak(3), weights=[1, 3, 10], seeds=[5, 6])
    assert found.best == 3 and found.metric == 'accuracy/top1' and found.key == 'model.distill_loss.loss_weight'
    assert sorted(tried) == [(weight, seed) for weight in (0, 1, 3, 10) for seed in (5, 6)]


def test_by_default_the_weights_surround_that_of_the_config(search, tmp_path):
    found, _ = search(peak(10))
    assert sorted(found.scores) == [0, 1, 3, 10, 30, 100]
    assert json.loads((tmp_path / 'search' / 'loss_weight.json').read_text())['best'] == {found.key: 10}


def test_a_loss_that_is_given_as_a_class_has_a_weight():
    cfg = Config(dict(model=dict(distill_loss=dict(type=HierarchicalContextLoss))))
    assert module._configured_weight(cfg, 'model.distill_loss.loss_weight') == 1.0


@pytest.mark.parametrize(('at', 'best', 'more'), [(100, 90, [30, 90, 270]), (0.1, 0.111, [0.333, 0.111, 0.037])])
def test_the_grid_grows_where_its_last_weight_is_best(search, at, best, more):
    found, tried = search(peak(at), weights=[1, 3, 10], seeds=[0])
    assert found.best == best and [weight for weight, _ in tried][4:] == more


def test_a_weight_that_diverges_is_not_chosen(search):
    found, _ = search(lambda weight, seed: None if weight > 3 and seed else weight, weights=[1, 3, 10])
    assert found.best == 3 and found.scores[10] == [10, None]


def test_the_student_alone_wins_if_no_weight_helps(search):
    found, tried = search(lambda weight, seed: -weight, weights=[1, 3], seeds=[0])
    assert found.best == 0 and len(tried) == 3 and not found.helps


def test_another_metric_and_a_logit_loss(search):
    found, _ = search(peak(3), dict(name='resnet8_kd-resnet14.py'), weights=[1, 3, 10], metric='other')
    assert found.key == 'model.logit_loss.loss_weight' and found.best == 0


@pytest.mark.parametrize('metric', ['val_loss', 'NME'])
def test_a_lower_loss_is_better(metric):
    found = WeightSearch('key', metric, {0.0: [3.0], 1.0: [1.0], 2.0: [2.0]}, [0])
    assert found.best == 1 and found.helps and 'lower is better' in found.table().title


@pytest.mark.parametrize('metric', ['accuracy/top1', 'NME'])
def test_a_metric_that_is_not_finite_never_wins(metric):
    scores = {0.0: [math.nan], 1.0: [50.0], 10.0: [50.0], 30.0: [-math.inf], 90.0: [math.inf]}
    found = WeightSearch('key', metric, scores, [0])
    assert found.best == 1 and found.helps
    assert [*found.table().columns[3].cells] == [''] * 5  # nothing is compared with a student alone that diverged


@pytest.mark.parametrize(('arguments', 'options'), [
    (dict(lower_is_better=True), {}), (dict(metric='other'), {}), (dict(metric='other', lower_is_better=False), {}),
    ({}, {'default_hooks.checkpoint.save_best': 'accuracy/top1', 'default_hooks.checkpoint.rule': 'less'})])
def test_the_direction_is_the_argument_s_or_the_config_s(search, tmp_path, arguments, options):
    """The metric 'other' is the negative of the accuracy, so that its best weight is the accuracy's worst."""
    found, _ = search(lambda weight, seed: -weight, options, weights=[1, 3], seeds=[0], **arguments)
    lower = arguments.get('lower_is_better', bool(options))
    assert (found.best == 0) == (lower == ('metric' in arguments))
    written = json.loads((tmp_path / 'search' / 'loss_weight.json').read_text())
    assert written['lower_is_better'] is lower and written['best'] == {found.key: found.best}


def both(review, logits, seed):
    """The best weights are 3 of the review and, with it, 0.3 of the logits; the student alone has 50."""
    return peak(3)(review, seed) + (peak(0.3)(logits, seed) - 80 if review or logits else 0)


JOINED = {'model.student.logits': 'head.fc', 'model.teacher.logits': 'head.fc',
          'model.logit_loss': dict(type='LogitDistillationLoss')}


def test_of_two_losses_the_second_weight_is_found_with_the_first(search, tmp_path):
    review, logits, tried = search(both, JOINED, weights=[0.3, 1, 3, 10], seeds=[0])
    assert (review.key, logits.key) == ('model.distill_loss.loss_weight', 'model.logit_loss.loss_weight')
    assert (review.best, logits.best) == (3, 0.3) and review.helps and logits.helps
    assert review.alone == logits.alone == [both(0, 0, 0)]
    assert tried[0] == (0, 0, 0) and {other for _, other, _ in tried[1:6]} == {1}
    assert {first for first, *_ in tried[6:]} == {3}
    assert json.loads((tmp_path / 'search' / 'loss_weight.json').read_text())['best'] == {
        review.key: 3, logits.key: 0.3}


def test_of_two_losses_a_weight_of_zero_is_not_called_the_student_alone(search):
    review, _, _ = search(both, JOINED, weights=[3], seeds=[0])
    names, *_, against, _ = ([*column.cells] for column in review.table().columns)
    assert names[:2] == ['student alone', '0'] and against[0] == '' and float(against[1]) < 0


def test_one_of_two_weights_is_found_with_the_other_as_configured(search):
    key = 'model.logit_loss.loss_weight'
    found, tried = search(lambda *weights: sum(weights), JOINED, key=key, weights=[1], seeds=[0])
    assert found.key == key and len(tried[0]) == 3 and {len(each) for each in tried[1:]} == {2}


def test_a_weight_that_is_no_loss_s_own_does_not_stand_for_the_student_alone(search):
    found, tried = search(
        lambda *weights: sum(weights), dict(name='resnet8_dkd-resnet14.py'), key='model.logit_loss.beta', weights=[8],
        seeds=[0])
    assert tried[0] == (8, 0, 0) and found.alone == [8]


def test_trainings_are_short_and_see_no_test_image(search, tmp_path):
    search(peak(3), {'train_cfg.max_epochs': 20, 'param_scheduler.total_steps': 20}, weights=[1], length=0.1)
    cfg = Config.fromfile(tmp_path / 'search' / 'trial.py')
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler.total_steps == 2
    assert cfg.test_dataloader == cfg.val_dataloader
    train, held = (loader.dataset for loader in (cfg.train_dataloader, cfg.val_dataloader))
    assert (train.held_out, held.held_out) == (False, True) and train.share == held.share == 0.1
    assert {**train.dataset, 'pipeline': 0} == {**held.dataset, 'pipeline': 0}
    assert all('ExportStudentHook' not in hook.type for hook in cfg.custom_hooks)


def test_own_validation_trains_on_everything(search, tmp_path):
    search(peak(3), weights=[1], own_validation=True)
    cfg = Config.fromfile(tmp_path / 'search' / 'trial.py')
    assert cfg.train_dataloader.dataset.indices is None and cfg.test_dataloader.dataset.indices == -10000


def test_own_validation_refuses_test_images(search):
    test_images = dict(type='FashionMNIST', data_root='x', split='test')
    with pytest.raises(ConfigError, match='test images must not choose'):
        search(peak(3), {'val_dataloader.dataset': dict(test_images, _delete_=True), 'test_dataloader.dataset': dict(
            test_images, _delete_=True, pipeline=[])}, own_validation=True)


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(weights=[-1]), '--weights must be a finite number of at least 0, but is -1'),
    (dict(length=2.0), '--length must be at most 1'),
    (dict(length=0), '--length must be a finite number above 0'),
    (dict(held_out=1.0), r'--held-out must be at most 0\.9'),
    (dict(seeds=[]), 'at least one seed'),
    (dict(key='model.distill_los.loss_weight'), "--key: the config has no 'model.distill_los'"),
    (dict(key='model.distill_loss.weight'), "HierarchicalContextLoss.* has no 'weight'"),
    (dict(metric='mAP'), "reports no number 'mAP', but accuracy/top1, other")])
def test_bad_arguments_are_named(search, arguments, message):
    with pytest.raises(ConfigError, match=message):
        search(peak(3), **arguments)


def test_a_model_without_distillation_is_named(search):
    with pytest.raises(ConfigError, match='give the config of a distillation'):
        search(peak(3), dict(name='resnet8.py'))


def test_a_folder_with_another_search_is_refused(search):
    search(peak(3), weights=[1])
    search(peak(3), weights=[3], seeds=[7])
    with pytest.raises(ConfigError, match='holds a search with another config'):
        search(peak(3), held_out=0.2)


def test_single_finite_numbers_are_kept_of_the_metrics():
    metrics = dict(
        text='0.1 0.2', result=torch.ones(2, 2), classwise=[1.0, 2.0], top1=torch.tensor(2.5), f1=np.float32(0.5),
        nan=math.nan, count=3)
    found = module._numbers(metrics)
    assert found == dict(top1=2.5, f1=0.5, nan=None, count=3.0) and json.dumps(found)


@pytest.mark.slow
def test_a_confusion_matrix_beside_the_metric(config, tmp_path):
    path = config(**{
        'val_evaluator': [dict(type='ConfusionMatrix'), dict(type='Accuracy', topk=(1,))], 'train_cfg.val_begin': 2})
    found, = find_loss_weight(path, weights=[], seeds=[0], work_dir=str(tmp_path / 'search'))
    assert found.metric == 'accuracy/top1' and len(found.scores[0]) == 1


@pytest.mark.slow
def test_metrics_without_any_number_are_named(config, tmp_path):
    path = config(val_evaluator=[dict(type='SingleLabelMetric', average=None, items=('precision',))])
    with pytest.raises(ConfigError, match='single number, but the evaluator reports single-label/precision_classwise'):
        find_loss_weight(path, weights=[], seeds=[0], work_dir=str(tmp_path / 'search'))


@pytest.mark.slow
def test_the_tool_trains_resumes_and_prints_a_table(config, tmp_path):
    """A weight that diverges and the student alone, in two trainings, of which the second call repeats none."""
    command = [
        ROOT / 'tools' / 'find_loss_weight.py', config(), '--weights', '1e30', '--seeds', '0', '--length', '1',
        '--work-dir', tmp_path / 'search']
    done = run_tool(*command, cwd=tmp_path)
    assert '0 (alone)' in done.stdout and 'diverged' in done.stdout and 'no weight helped' in done.stdout
    files = {file.parent.name: json.loads(file.read_text()) for file in (tmp_path / 'search').glob('*/result.json')}
    assert {name: found['metrics'] is None for name, found in files.items()} == {
        'distill_loss_0_seed_0': False, 'distill_loss_1e+30_seed_0': True}
    assert not [*(tmp_path / 'search').glob('*/*.pth')]
    again = run_tool(*command, cwd=tmp_path)
    assert 'training, log in' in done.stdout + done.stderr and 'training, log in' not in again.stdout + again.stderr


@pytest.mark.slow
def test_a_training_that_fails_is_named_with_its_log(config, tmp_path):
    with pytest.raises(ConfigError, match=r'failed, see .*log\.txt: .*missing\.pth'):
        find_loss_weight(config(**{'model.teacher.checkpoint': 'missing.pth'}), work_dir=str(tmp_path / 'search'))


@pytest.mark.slow
def test_a_killed_search_takes_its_training_with_it(config, tmp_path):
    search = subprocess.Popen(
        [sys.executable, ROOT / 'tools' / 'find_loss_weight.py', config(), '--weights', '1', '--seeds', '0',
         '--length', '1', '--work-dir', tmp_path / 'search'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'})
    log, training = tmp_path / 'search' / 'distill_loss_0_seed_0' / 'log.txt', []
    for _ in range(600):
        training = _children(search.pid) if log.exists() else []
        if training:
            break
        time.sleep(0.1)
    search.kill()
    search.wait()
    assert training
    for _ in range(100):
        if not any(map(_runs, training)):
            return
        time.sleep(0.1)
    raise AssertionError(f'{training} are still running')


def _children(pid):
    return [int(child) for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]


def _runs(pid):
    status = Path(f'/proc/{pid}/stat')
    return status.exists() and status.read_text().rpartition(')')[2].split()[0] != 'Z'
