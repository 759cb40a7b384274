"""Ablation studies of short trainings on few images."""

import json

import pytest
import torch
from conftest import ROOT, small_run

from mmreviewkd.studies.ablation.study import Ablation, Variant
from mmreviewkd.utils import ConfigError

LR = 'optim_wrapper.optimizer.lr'
VALIDATION = {'val_dataloader.dataset.test_mode': False, 'val_dataloader.dataset.indices': -100}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


@pytest.fixture
def config(fashion_mnist, tmp_path):
    file = tmp_path / 'student.py'
    cfg = small_run('ablation/resnet8-short.py', fashion_mnist)
    cfg.param_scheduler = []
    cfg.dump(file)
    return str(file)


def finished(folder):
    return {file: file.stat().st_mtime_ns for file in folder.glob('*/*/result.json')}


def test_each_training_is_done_once(config, tmp_path):
    # A rate of 1e-9 leaves the student as it began, so the choice between the two is certain.
    study = Ablation(
        tmp_path / 'out',
        [Variant('chosen', config, weights={LR: (1e-9, 0.1)}), Variant('the same', config, {LR: 0.1}),
         Variant('follows', config, {'train_cfg.max_epochs': 4}, weights_of=('chosen',))],
        seeds=(0, 1), tuning_seeds=(7,), tuning_options=VALIDATION)
    with pytest.raises(ConfigError, match="loss weight of 'chosen' is not selected yet"):
        study.reported()
    seen = []
    results = study.run(workers=2, done=lambda so_far: seen.append(so_far['trainings']))
    # Two to choose by, and two seeds of two different settings; two workers may end at once.
    assert len(seen) == 6 and seen == sorted(seen) and seen[0] <= 2 and seen[-1] == 6
    assert [(run['variant'], run['weights']) for run in results['tunings']] == [
        ('chosen', {LR: 1e-9}), ('chosen', {LR: 0.1})]
    chosen, same, follows = (results['variants'][name] for name in ('chosen', 'the same', 'follows'))
    assert chosen['weights'] == follows['weights'] == {LR: 0.1}
    assert chosen['score'] == same['score'] and set(same['score']) == {'0', '1'}
    assert results['cpu_minutes'] > 0 and results['versions']['torch'] == torch.__version__
    tuned = json.loads((study.tunings()[1].work_dir / 'result.json').read_text())
    assert tuned['options']['randomness.seed'] == '7' and tuned['options']['val_dataloader.dataset.indices'] == '-100'
    assert not list((tmp_path / 'out').rglob('*.pth'))

    before = finished(tmp_path / 'out')
    assert study.run() == results and finished(tmp_path / 'out') == before
    # One that was interrupted, and only that one, is done again.
    interrupted = study.reported()[0].result_file
    interrupted.unlink()
    assert study.run()['variants']['chosen']['score'] == chosen['score']
    assert {file for file, time in finished(tmp_path / 'out').items() if time != before[file]} == {interrupted}


def test_a_training_that_diverges_is_recorded_and_its_weight_not_selected(config, tmp_path):
    study = Ablation(
        tmp_path / 'out',
        [Variant('tuned', config, weights={LR: (1e30, 1e-9)}), Variant('too fast', config, {LR: 1e30})],
        seeds=(0,), tuning_seeds=(7,), tuning_options=VALIDATION)
    results = study.run()
    assert [run['score'] is None for run in results['tunings']] == [True, False]
    tuned, too_fast = results['variants'].values()
    assert tuned['weights'] == {LR: 1e-9} and tuned['score']['0'] >= 0 and too_fast['score'] == {'0': None}


@pytest.mark.parametrize(('options', 'message'), [
    ({'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}, "'odd, seed 0' ended without a validation"),
    ({'model.head.in_channels': 3}, r"'odd, seed 0' failed, see .*train\.log: RuntimeError: mat1 and mat2"),
])
def test_a_failed_training_is_named(options, message, config, tmp_path):
    study = Ablation(tmp_path / 'out', [Variant('odd', config, options)], (0,), (7,), VALIDATION)
    with pytest.raises(ConfigError, match=message):
        study.run()
    assert not finished(tmp_path / 'out')


@pytest.mark.parametrize(('variants', 'seeds', 'message'), [
    ([Variant('a', 'x.py'), Variant('a', 'y.py')], (0,), "two variants are named 'a'"),
    ([Variant('alone', 'x.py'), Variant('b', 'y.py', weights_of=('alon',))], (0,), "did you mean 'alone'"),
    ([Variant('a', 'x.py')], (0, 7), r'\[7\] select loss weights.* seeds=\[0, 7\]'),
])
def test_bad_plans_are_named(variants, seeds, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        Ablation(tmp_path, variants, seeds, (7,), {})


def test_teachers_of_one_file_name_keep_apart(tmp_path):
    study = Ablation(
        tmp_path, [Variant('a', 'x.py', teacher='big/net.py'), Variant('b', 'x.py', teacher='small/net.py')],
        (0,), (7,), {})
    first, second = study.teachers().values()
    assert first.work_dir != second.work_dir
    assert study.reported()[0].work_dir != study.reported()[1].work_dir
