"""A run that is interrupted anywhere ends with the weights of one that is not, bit for bit."""

import itertools

import pytest
import torch
from conftest import others_exhaustive
from mmengine.hooks import Hook

from mmreviewkd.apis import build_runner
from mmreviewkd.apis import train as api_train
from mmreviewkd.studies.kill_test import CASES, small_config

COUNT = itertools.count()


class Interrupted(Exception):
    """Stands for the kill."""


class InterruptHook(Hook):
    """Stop a run at a stage, the n-th time."""

    priority = 'LOWEST'

    def __init__(self, stage: str, count: int) -> None:
        self.stage, self.count = stage, count
        setattr(self, stage, self._stop)

    def _stop(self, *_, **__):
        self.count -= 1
        if self.count == 0:
            raise Interrupted


def config(fashion_mnist, work_dir, case):
    cfg = small_config(str(fashion_mnist), **CASES[case])
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'{case}_{work_dir.name}_{next(COUNT)}'  # MMEngine keeps one logger a name
    return cfg


def train(cfg, interrupt=None, resume=False):
    cfg.resume = resume
    runner = build_runner(cfg)
    if interrupt is not None:
        runner.register_hook(InterruptHook(*interrupt))
        with pytest.raises(Interrupted):
            runner.train()
    else:
        runner.train()
    end_workers(runner)
    return runner


def end_workers(runner):
    """Left to the garbage collector, persistent workers are waited for in vain, 5 seconds each."""
    for loop in (runner.train_loop, runner.val_loop):
        if loop.dataloader._iterator is not None:
            loop.dataloader._iterator._shutdown_workers()
            loop.dataloader._iterator = None


def student(work_dir):
    return torch.load(work_dir / 'student' / 'student.pth', weights_only=True)['state_dict']


def assert_bit_equal(one, other):
    assert list(one) == list(other)
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different, f'{len(different)} of {len(one)} differ'


# Within an epoch, at its last iteration, and before the validation that follows is over.
ANY, LAST, VALIDATION = ('after_train_iter', 4), ('after_train_iter', 6), ('after_val_epoch', 1)
STOPS = {
    'epochs': [ANY, LAST],
    'epochs saved by epoch': [VALIDATION],
    'epochs, best checkpoints only': [('after_train_iter', 8)],
    'epochs, two persistent workers': [('after_train_iter', 10)],
    'epochs saved by epoch, two persistent workers': [VALIDATION],
    'epochs, persistent workers restarted by a hook': [LAST, ('after_train_iter', 10)],
    'iterations, three persistent workers': [('after_train_iter', 9), VALIDATION],
}


SHOWN = [
    'epochs', 'epochs saved by epoch, two persistent workers', 'epochs, best checkpoints only',
    'epochs, persistent workers restarted by a hook', 'iterations, three persistent workers']


@pytest.mark.parametrize('case', others_exhaustive(STOPS, SHOWN))
def test_resumes_bit_for_bit(case, fashion_mnist, tmp_path):
    pytest.importorskip('mmpretrain')
    train(config(fashion_mnist, tmp_path / 'whole', case))
    expected = student(tmp_path / 'whole')
    for index, stop in enumerate(STOPS[case]):
        work_dir = tmp_path / str(index)
        train(config(fashion_mnist, work_dir, case), interrupt=stop)
        resumed = train(config(fashion_mnist, work_dir, case), resume=True)
        assert resumed.iter == 12 and resumed._resume
        assert_bit_equal(student(work_dir), expected)
        files = sorted(path.name for path in work_dir.glob('*.pth'))
        assert files == sorted(path.name for path in (tmp_path / 'whole').glob('*.pth')), stop


def test_with_nothing_to_resume_from_the_run_starts_from_the_weights_of_its_config(fashion_mnist, tmp_path):
    pytest.importorskip('mmpretrain')
    weights = tmp_path / 'start.pth'
    cfg = config(fashion_mnist, tmp_path / 'run', 'epochs')
    state = {name: torch.full_like(value, 0.5) if value.is_floating_point() else value
             for name, value in build_runner(cfg).model.state_dict().items()}
    torch.save(dict(state_dict=state), weights)
    cfg.load_from, cfg.train_cfg.max_epochs, cfg.optim_wrapper.optimizer.lr = str(weights), 1, 0.0
    cfg.param_scheduler, cfg.model.warmup_iters, cfg.custom_hooks = None, 0, []
    cfg.default_hooks.checkpoint = None
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.dump(tmp_path / 'config.py')
    trained = api_train(str(tmp_path / 'config.py'), work_dir=str(tmp_path / 'run'), resume=True)
    assert torch.equal(trained.student.head.fc.weight.detach(), state['student.head.fc.weight'])


@pytest.mark.parametrize(('case', 'validated'), [
    ('epochs saved by epoch', [6, 12]), pytest.param('iterations', [3, 6, 9, 12], marks=pytest.mark.exhaustive)])
def test_a_validation_that_was_due_is_run_with_other_workers_too(case, validated, fashion_mnist, tmp_path):
    pytest.importorskip('mmpretrain')
    train(config(fashion_mnist, tmp_path, case), interrupt=('before_val_epoch', 1))
    cfg = config(fashion_mnist, tmp_path, case)
    cfg.train_dataloader.update(num_workers=1)
    seen = ValidatedHook()
    cfg.resume = True
    runner = build_runner(cfg)
    runner.register_hook(seen)
    runner.train()
    end_workers(runner)
    assert seen.at == validated


class ValidatedHook(Hook):
    """Keeps the iterations at which a run is validated."""

    def __init__(self) -> None:
        self.at = []

    def after_val_epoch(self, runner, metrics=None):
        self.at.append(runner.iter)
