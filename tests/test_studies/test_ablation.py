"""A study of many short trainings, on few images."""

import importlib.util
import json
import shutil

import pytest
import torch
from conftest import ROOT, gray_batch, small_run
from mmengine.config import Config
from mmengine.registry import MODELS

from mmreviewkd.studies import ablation_page
from mmreviewkd.studies.ablation import Ablation, Variant
from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.config import model_config

LR = 'optim_wrapper.optimizer.lr'
VALIDATION = {'val_dataloader.dataset.test_mode': False, 'val_dataloader.dataset.indices': -100}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


@pytest.fixture
def config(fashion_mnist, tmp_path):
    file = tmp_path / 'student.py'
    cfg = small_run('ablation/resnet8.py', fashion_mnist)
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
    with pytest.raises(ConfigError, match="loss weight of 'chosen' is not chosen yet"):
        study.reported()
    seen = []
    results = study.run(workers=2, done=lambda so_far: seen.append(so_far['trainings']))
    # Two to choose by, and two seeds of two different settings; two workers may end at once.
    assert len(seen) == 6 and seen == sorted(seen) and seen[0] <= 2 and seen[-1] == 6
    assert [(run['variant'], run['weights']) for run in results['tunings']] == [
        ('chosen', {LR: 1e-9}), ('chosen', {LR: 0.1})]
    chosen, same, follows = (results['variants'][name] for name in ('chosen', 'the same', 'follows'))
    assert chosen['weights'] == follows['weights'] == {LR: 0.1}
    assert chosen['top1'] == same['top1'] and set(same['top1']) == {'0', '1'}
    assert results['cpu_minutes'] > 0 and results['versions']['torch'] == torch.__version__
    tuned = json.loads((study.tunings()[1].work_dir / 'result.json').read_text())
    assert tuned['options']['randomness.seed'] == '7' and tuned['options']['val_dataloader.dataset.indices'] == '-100'
    assert not list((tmp_path / 'out').rglob('*.pth'))

    before = finished(tmp_path / 'out')
    assert study.run() == results and finished(tmp_path / 'out') == before
    # One that was interrupted, and only that one, is done again.
    interrupted = study.reported()[0].result_file
    interrupted.unlink()
    assert study.run()['variants']['chosen']['top1'] == chosen['top1']
    assert {file for file, time in finished(tmp_path / 'out').items() if time != before[file]} == {interrupted}


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
    ([Variant('a', 'x.py'), Variant('a', 'y.py')], (0,), "'a' is there twice"),
    ([Variant('alone', 'x.py'), Variant('b', 'y.py', weights_of=('alon',))], (0,), "did you mean 'alone'"),
    ([Variant('a', 'x.py')], (0, 7), r'\[7\] choose the loss weights.* \[0, 7\] are'),
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


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('ablation_tool', ROOT / 'tools' / 'ablation.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_variant_of_the_study_trains(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for teacher in tool.TEACHERS.values():
        torch.save(MODELS.build(model_config(teacher, 'teacher')).state_dict(), tmp_path / teacher.replace('/', '_'))
    losses = {}
    for variant in tool.VARIANTS:
        cfg = Config.fromfile(variant.config)
        weights = {key: values[0] for key, values in variant.weights.items()}
        cfg.merge_from_dict({**variant.options, **weights})
        if variant.teacher:
            cfg.model.teacher.update(
                model=variant.teacher, checkpoint=str(tmp_path / variant.teacher.replace('/', '_')))
        torch.manual_seed(0)
        model = MODELS.build(dict(**cfg.model, data_preprocessor=cfg.data_preprocessor))
        model.init_weights()
        step = model(**model.data_preprocessor(gray_batch(8), True), mode='loss')
        losses[variant.name] = step['loss_distill'].item() if 'loss_distill' in step else None
        assert sum(value for name, value in step.items() if 'loss' in name).isfinite()
    # Different settings, different losses; the student alone and logit KD have no loss of features.
    assert [name for name, loss in losses.items() if loss is None] == ['student alone', 'logit KD']
    cross_stage = [losses[variant.name] for variant in tool.CROSS_STAGE.values()]
    assert len(set(cross_stage)) == len(cross_stage) == 16


RESULTS = dict(
    seeds=[0, 1], tuning_seeds=[7, 8], trainings=5, cpu_minutes=3.4, wall_minutes=5.6, versions=dict(torch='2'),
    teachers=[dict(config='t.py', top1=90.123, parameters=12345, flops=2_500_000)],
    tunings=[dict(variant='ours', weights={'w': weight}, seed=seed, top1=top1)
             for weight, seed, top1 in [(1.0, 7, 60.04), (1.0, 8, 63.0), (3.0, 7, 61.0), (3.0, 8, 62.3)]],
    variants={
        'alone': dict(options={}, weights={}, top1={'0': 50.0, '1': 52.0}),
        'ours': dict(options={}, weights={'w': 3.0}, top1={'0': 55.0, '1': 54.0}),
        'fixed': dict(options={'model.distill_loss.loss_weight': 100.0}, weights={}, top1={'0': 49.0, '1': 51.0}),
        'half done': dict(options={}, weights={'w': 3.0}, top1={'0': 55.0}),
    })


def test_tables_say_what_the_results_say():
    rows = {'alone': ['nothing'], 'ours': ['all'], 'fixed': ['more'], 'half done': ['other']}
    assert ablation_page.variants_table(RESULTS, ['what'], rows, 'alone').splitlines() == [
        '| what | loss weight | top-1 (%) | gain | by seed |',
        '| --- | ---: | ---: | ---: | ---: |',
        '| nothing |  | 51.00 ± 1.41 |  | 50.0 52.0 |',
        '| all | 3 | 54.50 ± 0.71 | +3.50 ± 2.12 | 55.0 54.0 |',
        '| more | 100 | 50.00 ± 1.41 | -1.00 ± 0.00 | 49.0 51.0 |',
        '| other | 3 | – | – |  |']
    names = {(0, 0): 'ours', (0, 1): 'fixed', (1, 0): 'alone', (1, 1): 'half done'}
    assert ablation_page.matrix_table(RESULTS, ['1', '2'], names, 'alone').splitlines()[2:] == [
        '| 1 | +3.50 ± 2.12 | -1.00 ± 0.00 |', '| 2 | +0.00 ± 0.00 | – |']
    assert '| ours | 1: 61.5 · **3: 61.6** |' in ablation_page.tuning_table(RESULTS)
    assert '| T | `t.py` | 90.12 | 12,345 | 2.50 |' in ablation_page.teachers_table(RESULTS, {'t.py': 'T'})
    assert '| 5 | 0, 1 | 7, 8 | 3 | 6 | torch 2 |' in ablation_page.cost_table(RESULTS)


def test_pictures_are_drawn_though_results_are_missing(tmp_path):
    names = {(0, 0): 'ours', (0, 1): 'fixed', (1, 0): 'alone', (1, 1): 'half done'}
    ablation_page.draw_matrix(RESULTS, ['1', '2'], names, 'alone', tmp_path / 'matrix.png')
    groups = {'group': {name: name for name in RESULTS['variants']}}
    ablation_page.draw_bars(RESULTS, groups, 'alone', tmp_path / 'bars.png')
    ablation_page.draw_lines(RESULTS, groups, 'alone', tmp_path / 'lines.png')
    assert all((tmp_path / f'{name}.png').stat().st_size > 5000 for name in ('matrix', 'bars', 'lines'))


def test_a_page_without_a_place_for_a_table_is_named(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('before\n<!-- table: one -->\nold\n<!-- end -->\nafter\n')
    ablation_page.fill_page(page, {'one': '| new |'})
    assert page.read_text() == 'before\n<!-- table: one -->\n| new |\n<!-- end -->\nafter\n'
    with pytest.raises(ConfigError, match=r'table: two .* once, not 0 times'):
        ablation_page.fill_page(page, {'two': ''})


def test_the_page_says_what_its_results_say(tool, tmp_path):
    docs = ROOT / 'docs'
    shutil.copy(docs / 'ablations.md', tmp_path)
    results = json.loads((docs / 'ablations.json').read_text())
    tool.publish(results, tmp_path)
    assert (tmp_path / 'ablations.md').read_text() == (docs / 'ablations.md').read_text()
    assert (tmp_path / 'ablations.json').read_text() == (docs / 'ablations.json').read_text()
    assert {file.name for file in tmp_path.glob('*.png')} == {file.name for file in docs.glob('ablations_*.png')}
