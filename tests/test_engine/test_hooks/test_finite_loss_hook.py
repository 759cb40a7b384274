"""Trainings whose loss is not finite stop, save no such weights and export no such student."""

import math
from pathlib import Path

import pytest
import torch
from conftest import ROOT, small_run
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn

from mmreviewkd.apis import build_runner, export_student
from mmreviewkd.apis.checks import add_finite_loss_hook
from mmreviewkd.engine.hooks import FiniteLossHook
from mmreviewkd.utils import CheckpointError, ConfigError
from mmreviewkd.utils.finite import check_finite


class Run:
    """What the hook sees of a runner."""

    def __init__(self, max_iters: int = 10**6) -> None:
        self.iter, self.max_iters = 0, max_iters
        self.optim_wrapper = self
        self.model = nn.Linear(2, 2)

    def get_lr(self) -> dict:
        return dict(lr=[0.1])

    def feed(self, hook: Hook, *losses: float) -> None:
        for loss in losses:
            hook.after_train_iter(self, self.iter, outputs=dict(loss=torch.tensor(loss), loss_distill=torch.zeros(())))
            self.iter += 1


def test_a_loss_that_stays_not_finite_stops_at_the_next_reading():
    run, hook = Run(), FiniteLossHook(patience=3, interval=4)
    run.feed(hook, 1.0, 1.0, math.nan, math.nan, math.inf, math.nan, math.nan)
    with pytest.raises(ConfigError, match=r'not been finite for 6 iterations, since iteration 3 \(loss; .* rate 0.1\)'):
        run.feed(hook, math.nan)


def test_losses_that_recover_do_not_stop():
    run, hook = Run(), FiniteLossHook(patience=3, interval=1)
    run.feed(hook, *[math.nan, math.inf, 1.0] * 5)


@pytest.mark.skipif(not hasattr(torch.amp, 'GradScaler'), reason='torch 2.1 scales gradients on GPUs only')
def test_steps_that_a_grad_scaler_skips_do_not_stop():
    """Gradients overflow under a scale of 2**127 until the scaler has halved it often enough; the loss is finite."""
    model, run, hook = nn.Linear(2, 1), Run(), FiniteLossHook(patience=2, interval=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0**127)
    skipped = 0
    for _ in range(8):
        loss = 1e2 * model(torch.ones(1, 2)).square().sum()
        optimizer.zero_grad()
        before = model.weight.clone()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        skipped += bool(torch.equal(before, model.weight))
        run.feed(hook, float(loss.detach()))
    assert skipped >= 5
    hook.before_save_checkpoint(run, {})


def test_the_count_is_read_only_at_the_interval(monkeypatch):
    run, hook = Run(), FiniteLossHook(patience=1, interval=10)
    reads = []
    monkeypatch.setattr(torch.Tensor, '__int__', lambda tensor: reads.append(run.iter) or 0)
    monkeypatch.setattr(torch.Tensor, '__bool__', lambda tensor: pytest.fail('the device is read'))
    monkeypatch.setattr(torch.Tensor, 'item', lambda tensor: pytest.fail('the device is read'))
    run.feed(hook, *[1.0] * 30)
    assert reads == [9, 19, 29]


def test_the_last_iteration_is_read():
    run, hook = Run(max_iters=5), FiniteLossHook(patience=2)
    with pytest.raises(ConfigError, match='not been finite for 5 iterations'):
        run.feed(hook, *[math.nan] * 5)


def test_no_checkpoint_of_weights_that_are_not_finite():
    run, hook = Run(), FiniteLossHook()
    hook.before_save_checkpoint(run, {})
    run.model.weight.data[0, 0] = math.inf
    with pytest.raises(CheckpointError, match=r'no checkpoint is saved.*1 of 2 tensors of Linear .*\(weight\)'):
        hook.before_save_checkpoint(run, {})


def test_masks_may_hold_infinities_but_statistics_not():
    model = nn.ModuleDict(dict(norm=nn.BatchNorm2d(2), other=nn.Identity()))
    model['other'].register_buffer('mask', torch.full((2,), -math.inf))
    check_finite(model, 'weights')
    model['other'].mask[0] = math.nan
    with pytest.raises(CheckpointError, match=r'weights: 1 of .*\(other.mask\)'):
        check_finite(model, 'weights')
    model['other'].mask[0] = 0
    model['norm'].running_var[0] = math.inf
    with pytest.raises(CheckpointError, match=r'\(norm.running_var\)'):
        check_finite(model, 'weights')


@pytest.mark.parametrize('options', [
    {'optim_wrapper.optimizer.lr': 1e30, 'optim_wrapper.clip_grad': None},
    {'model.student.model.head.loss.loss_weight': math.nan},
], ids=['lr=1e30', 'student loss of NaN'])
def test_a_run_stops_before_it_saves_or_exports(options, fashion_mnist, tmp_path):
    config = small_run('resnet8_review-resnet14.py', fashion_mnist, **{'model.warmup_iters': 0, **options})
    config.work_dir, config.launcher = str(tmp_path), 'none'
    config.param_scheduler = None
    runner = build_runner(config)
    with pytest.raises(ConfigError, match=r'not been finite|no checkpoint is saved'):
        runner.train()
    assert not list(tmp_path.rglob('*.pth'))
    assert not (tmp_path / 'student').exists()


def test_runs_of_the_tools_have_the_hook_once(fashion_mnist, tmp_path):
    dotted = f'{FiniteLossHook.__module__}.FiniteLossHook'  # as MMEngine writes pure Python configs
    for kind in (None, 'mmreviewkd.FiniteLossHook', dotted):
        hooks = [dict(type=kind, patience=3)] if kind else []
        config = small_run('resnet8.py', fashion_mnist)
        config.work_dir, config.launcher = str(tmp_path), 'none'
        config.custom_hooks = hooks
        runner = build_runner(config)
        found = [hook for hook in runner.hooks if isinstance(hook, FiniteLossHook)]
        assert [hook.patience for hook in found] == [hooks[0]['patience'] if hooks else 10]
    pure_python = Config(dict(train_cfg=dict(), custom_hooks=[dict(type=FiniteLossHook)]))
    add_finite_loss_hook(pure_python)
    assert len(pure_python.custom_hooks) == 1


def test_a_student_that_is_not_finite_is_not_exported(tmp_path: Path):
    pytest.importorskip('mmpretrain')
    cfg = Config.fromfile(ROOT / 'configs/fashion_mnist/resnet8_review-resnet14.py')
    from mmreviewkd.models.build import build_model
    state = {f'student.{name}': value for name, value in build_model(
        dict(cfg.model.student.model, _scope_='mmpretrain'), 'model').state_dict().items()}
    state['student.head.fc.bias'][0] = math.nan
    with pytest.raises(CheckpointError, match=r"the checkpoint's student: 1 of .*head.fc.bias"):
        export_student(cfg, state, str(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()


def test_the_hook_is_registered():
    assert HOOKS.get('mmreviewkd.FiniteLossHook') is FiniteLossHook
