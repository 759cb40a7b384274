"""Checkpoints are tested as the student of a distiller, and as any other model."""

import errno
import pickle
from pathlib import Path

import pytest
import torch
from conftest import small_run
from mmengine.config import Config
from mmengine.registry import MODELS

from mmreviewkd.apis import test as run_test
from mmreviewkd.apis.test import _draw
from mmreviewkd.utils import CheckpointError, ConfigError


@pytest.mark.slow
def test_of_a_distiller_the_student_is_tested(fashion_mnist, tmp_path, monkeypatch):
    torch.manual_seed(0)
    config, alone = tmp_path / 'review.py', tmp_path / 'alone.py'
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist)
    cfg.dump(config)
    small_run('resnet8.py', fashion_mnist).dump(alone)
    distiller = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    torch.save(dict(state_dict=distiller.state_dict()), tmp_path / 'distiller.pth')
    torch.save(dict(state_dict=distiller.student.state_dict()), tmp_path / 'student.pth')
    found = {}
    for name, cfg in (('distiller', config), ('student', alone)):
        run_test(str(cfg), str(tmp_path / f'{name}.pth'), str(tmp_path / name), str(tmp_path / f'{name}.pkl'),
                 cfg_options=dict(experiment_name=f'tested_{name}'))
        with open(tmp_path / f'{name}.pkl', 'rb') as file:
            found[name] = torch.stack([result['pred_score'] for result in pickle.load(file)])
    assert found['student'].shape == (200, 10)
    assert torch.equal(found['distiller'], found['student'])

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, 'No space left on device')

    before = (tmp_path / 'student.pkl').read_bytes()
    monkeypatch.setattr(pickle, 'dump', full)
    with pytest.raises(CheckpointError, match=r"^cannot write '.*student.pkl': No space left on device; \d+ MiB free"):
        run_test(str(alone), str(tmp_path / 'student.pth'), str(tmp_path / 'full'), str(tmp_path / 'student.pkl'),
                 cfg_options=dict(experiment_name='tested_full'))
    assert (tmp_path / 'student.pkl').read_bytes() == before and not [*tmp_path.glob('.student.pkl*')]
    assert 'accuracy/top1' in next((tmp_path / 'full').glob('*/*.json')).read_text()

    with pytest.raises(ConfigError, match=r"--out: 'x.json' must be the path of a pickle file"):
        run_test(str(alone), str(tmp_path / 'student.pth'), str(tmp_path / 'full'), 'x.json')
    with pytest.raises(CheckpointError, match='does not fit'):
        run_test(str(config), str(tmp_path / 'student.pth'), str(tmp_path), cfg_options=dict(experiment_name='misfit'))


@pytest.mark.slow
def test_weights_under_another_name_are_those_that_are_tested(fashion_mnist, tmp_path):
    cfg = small_run('resnet8.py', fashion_mnist)
    cfg.dump(tmp_path / 'config.py')
    torch.manual_seed(0)
    state = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).state_dict()
    scores = []
    for name, checkpoint in (
            ('state_dict', dict(state_dict=state)), ('model', dict(model=state)), ('bare', state),
            ('parallel', dict(model={f'module.{key}': value for key, value in state.items()}))):
        torch.save(checkpoint, tmp_path / f'{name}.pth')
        run_test(str(tmp_path / 'config.py'), str(tmp_path / f'{name}.pth'), str(tmp_path / name),
                 str(tmp_path / f'{name}.pkl'), cfg_options=dict(experiment_name=f'named_{name}'))
        with open(tmp_path / f'{name}.pkl', 'rb') as file:
            scores.append(torch.stack([result['pred_score'] for result in pickle.load(file)]))
    assert all(torch.equal(found, scores[0]) for found in scores)


@pytest.mark.parametrize('kind', ['VisualizationHook', 'mmpretrain.VisualizationHook', 'class'])
def test_predictions_are_drawn_by_the_config_s_hook(kind):
    hook = pytest.importorskip('mmpretrain.engine.hooks').VisualizationHook
    cfg = Config(dict(default_scope='mmpretrain', default_hooks=dict(
        visualization=dict(type=hook if kind == 'class' else kind))))
    _draw(cfg, 'shown')
    found = cfg.default_hooks.visualization
    assert found.enable and found.interval == 1 and found.out_dir == str(Path('shown').absolute())


def test_segmentations_are_drawn_into_the_folder_by_the_visualizer():
    pytest.importorskip('mmseg')
    hooks = dict(visualization=dict(type='SegVisualizationHook'))
    cfg = Config(dict(default_scope='mmseg', default_hooks=hooks, visualizer=dict(type='SegLocalVisualizer')))
    _draw(cfg, 'shown')
    assert cfg.default_hooks.visualization.draw and cfg.visualizer.type == 'SegLocalVisualizer'
    assert cfg.visualizer.save_dir == str(Path('shown').absolute())


@pytest.mark.slow
def test_predictions_are_kept_whatever_the_evaluator(fashion_mnist, tmp_path):
    cfg = small_run('resnet8.py', fashion_mnist)
    cfg.test_evaluator = dict(type='mmengine.Evaluator', metrics=[cfg.test_evaluator])
    cfg.dump(tmp_path / 'config.py')
    torch.save(MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).state_dict(), tmp_path / 'w.pth')
    metrics = run_test(str(tmp_path / 'config.py'), str(tmp_path / 'w.pth'), str(tmp_path / 'run'),
                       str(tmp_path / 'p.pkl'), cfg_options=dict(experiment_name='evaluator'))
    with open(tmp_path / 'p.pkl', 'rb') as file:
        found = pickle.load(file)
    right = sum(int(sample['pred_label'] == sample['gt_label']) for sample in found)
    assert len(found) == 200 and metrics['accuracy/top1'] == pytest.approx(right / 2)


@pytest.mark.slow
@pytest.mark.parametrize('scope', ['mmengine', 'mmpretrain'])
def test_averaged_weights_are_tested_with_augmentation_too(scope, fashion_mnist, tmp_path):
    cfg = small_run('resnet8.py', fashion_mnist, custom_hooks=[dict(type=f'{scope}.EMAHook')])
    # The only augmentation leaves the images as they are.
    cfg.tta_model = dict(type='mmpretrain.AverageClsScoreTTA')
    cfg.tta_pipeline = [
        dict(type='TestTimeAug', transforms=[[dict(type='RandomFlip', prob=0.0)], [dict(type='PackInputs')]])]
    cfg.dump(tmp_path / 'config.py')
    torch.manual_seed(1)
    averaged, raw = (
        MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).state_dict() for _ in range(2))
    # As EMAHook saves them: the averaged weights as those of the model, the model's own as those of its copy.
    copied = {'steps': torch.tensor(1), **{f'module.{name}': value for name, value in raw.items()}}
    torch.save(dict(state_dict=averaged, ema_state_dict=copied), tmp_path / 'ema.pth')
    scores = []
    for tta in (False, True):
        run_test(str(tmp_path / 'config.py'), str(tmp_path / 'ema.pth'), str(tmp_path / f'tested_{tta}'),
                 str(tmp_path / 'found.pkl'), tta=tta, cfg_options=dict(experiment_name=f'{scope}_ema_{tta}'))
        with open(tmp_path / 'found.pkl', 'rb') as file:
            scores.append(torch.stack([result['pred_score'] for result in pickle.load(file)]))
    torch.testing.assert_close(scores[1], scores[0], rtol=1e-5, atol=1e-6)
