"""Pictures and scalars of the levels reach the visualizer's backends, and the training is the same bit for bit."""

import functools
import json
from types import SimpleNamespace

import cv2
import pytest
import torch
from conftest import cifar_classifier, gray_batch, review_config, small_run
from mmengine.registry import HOOKS, MODELS
from torch.utils.checkpoint import checkpoint

from mmreviewkd.apis import build_runner
from mmreviewkd.utils.errors import ConfigError

SCALARS = dict(type='mmreviewkd.LevelScalarsHook', interval=4)
PICTURES = dict(type='mmreviewkd.LevelPicturesHook', num_images=2)


def trained(fashion_mnist, work_dir, hooks, **options):
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist, **{'model.warmup_iters': 4, **options})
    for loader in filter(None, (cfg.train_dataloader, cfg.val_dataloader)):
        loader.update(num_workers=0, persistent_workers=False)
    cfg.log_processor = dict(window_size=1)
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    cfg.custom_hooks = [*cfg.custom_hooks[:-1], *hooks]
    runner = build_runner(cfg)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def runs(fashion_mnist, tmp_path_factory):
    """The weights of a run without the hooks and of one with them, and the work dir of the latter."""
    folder = tmp_path_factory.mktemp('runs')
    without = trained(fashion_mnist, folder / 'without', []).model.state_dict()
    with_hooks = trained(fashion_mnist, folder / 'with_hooks', [SCALARS, PICTURES]).model.state_dict()
    return without, with_hooks, folder / 'with_hooks'


@pytest.mark.slow
def test_the_training_is_the_same_bit_for_bit(runs):
    without, with_hooks, _ = runs
    assert without.keys() == with_hooks.keys()
    assert all(torch.equal(value, with_hooks[name]) for name, value in without.items())


@pytest.mark.slow
def test_scalars_are_logged_at_their_interval_and_add_up(runs):
    lines = [json.loads(line) for file in runs[2].glob('*/vis_data/scalars.json')
             for line in file.read_text().splitlines()]
    totals = {line['step']: line for line in lines if 'loss' in line}
    levels = {line['step']: line for line in lines if 'loss_distill/level1' in line}
    assert sorted(levels) == [1, 4, 8, 12]
    for step, line in levels.items():
        parts = [line[f'loss_distill/level{level}'] for level in range(1, 5)]
        assert sum(parts) == pytest.approx(totals[step]['loss_distill'], rel=1e-3, abs=1e-6)
        assert line['grad_norm/own'] > 0 and (line['grad_norm/distill'] > 0) == (step > 1)  # step 1 warms up
    distances = {line['step']: line for line in lines if 'distance/level1' in line}
    assert sorted(distances) == [0, 1, 2]
    assert all(line[f'distance/level{level}'] > 0 for line in distances.values() for level in range(1, 5))


@pytest.mark.slow
def test_pictures_are_drawn_before_training_and_after_every_epoch(runs):
    folder, = runs[2].glob('*/vis_data/vis_image')
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f'levels_image{image}_{step}.png' for image in (1, 2) for step in (0, 1, 2)]
    first, last = (cv2.imread(str(folder / f'levels_image1_{step}.png')) for step in (0, 2))
    assert first.shape == last.shape and (first != last).any()


@pytest.mark.slow
def test_iterations_can_be_counted_instead(fashion_mnist, tmp_path):
    trained(fashion_mnist, tmp_path / 'iterations', [dict(PICTURES, by_epoch=False, interval=5, num_images=1)],
            **{'val_dataloader': None, 'val_cfg': None, 'val_evaluator': None})
    names = {path.name for path in (tmp_path / 'iterations').glob('*/vis_data/vis_image/*')}
    assert names == {f'levels_image1_{step}.png' for step in (0, 5, 10)}


@pytest.mark.parametrize('hook', [SCALARS, PICTURES])
def test_a_model_without_levels_is_refused(fashion_mnist, tmp_path, hook):
    with pytest.raises(ConfigError, match=f'{hook["type"][11:]} observes the levels of a ReviewDistiller'):
        trained(fashion_mnist, tmp_path / hook['type'], [hook], model=dict(_delete_=True, **cifar_classifier()))


def observed(model, interval):
    """The buffers after a step of a model, observed by a LevelScalarsHook if an interval is given; and its scalars."""
    scalars = {}
    runner = SimpleNamespace(
        model=model, iter=0, optim_wrapper=None,
        visualizer=SimpleNamespace(add_scalars=lambda values, step: scalars.update(values)))
    hook = HOOKS.build(dict(type='mmreviewkd.LevelScalarsHook', interval=interval or 1))
    if interval:
        hook.before_train_iter(runner, 0)
    losses = model(**model.data_preprocessor(gray_batch(), True), mode='loss')
    model.parse_losses(losses)[0].backward()
    hook.after_train_iter(runner, 0)
    return {name: value.clone() for name, value in model.named_buffers()}, scalars


@pytest.mark.parametrize('reentrant', [False, True])
def test_statistics_of_blocks_that_run_again_in_the_backward_pass_stay_the_same(reentrant):
    buffers = []
    for interval in (None, 1):
        torch.manual_seed(0)
        model = MODELS.build(review_config(distill_loss=None, connector=None, student=dict(
            model=cifar_classifier(), logits='head.fc'), teacher=dict(
            model=cifar_classifier(14, (8, 8, 16, 32)), checkpoint='init_cfg', logits='head.fc'),
            logit_loss=dict(type='mmreviewkd.LogitDistillationLoss')))
        model.init_weights()
        model.train()
        layer = model.student.backbone.layer2
        layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=reentrant)
        values, scalars = observed(model, interval)
        buffers.append(values)
    assert all(torch.equal(value, buffers[1][name]) for name, value in buffers[0].items())
    assert bool(scalars) != reentrant  # which allows one backward pass only, and logits have no levels
