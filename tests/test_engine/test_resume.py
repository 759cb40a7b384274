"""A run that is interrupted anywhere ends with the weights of one that is not, bit for bit."""

import pytest
import torch
from conftest import small_run
from mmengine.hooks import Hook

from mmreviewkd.apis import build_runner

AUGMENTED = [
    dict(type='RandomCrop', crop_size=28, padding=2),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Rotate', angle=15.0, prob=0.5, random_negative_prob=0.5),
    dict(type='PackInputs'),
]


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


def config(fashion_mnist, work_dir, iterations=False, workers=0, persistent=False, by_epoch=False, accumulate=2):
    """Two epochs of six batches, with everything that keeps a state of its own."""
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'{work_dir.name}_{torch.randint(1 << 30, ()).item()}'
    cfg.model.teacher.model = cfg.model.student.model
    cfg.model.teacher.taps = cfg.model.student.taps
    cfg.model.student.model.train_cfg = dict(augments=dict(type='Mixup', alpha=1.0))  # draws in the main process
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.1, update_buffers=True), dict(type='mmreviewkd.ExportStudentHook')]
    cfg.train_dataloader.update(batch_size=32, num_workers=workers, persistent_workers=persistent)
    cfg.train_dataloader.dataset.update(pipeline=AUGMENTED, indices=180)
    cfg.val_dataloader.dataset.indices = 20
    cfg.optim_wrapper.accumulative_counts = accumulate
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=1, by_epoch=by_epoch, max_keep_ckpts=1, save_best='auto')
    if iterations:
        cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
        cfg.train_cfg = dict(by_epoch=False, max_iters=12, val_interval=5)
        cfg.param_scheduler = dict(type='OneCycleLR', eta_max=0.1, total_steps=12, by_epoch=False)
        cfg.log_processor = dict(by_epoch=False)
    else:
        cfg.train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=1)
    return cfg


def train(cfg, interrupt=None, resume=False):
    torch.manual_seed(torch.randint(1 << 30, ()))  # nothing may depend on what ran before in this process
    cfg.resume = resume
    runner = build_runner(cfg)
    if interrupt is not None:
        runner.register_hook(InterruptHook(*interrupt))
        with pytest.raises(Interrupted):
            runner.train()
    else:
        runner.train()
    return runner


def student(work_dir):
    return torch.load(work_dir / 'student' / 'student.pth', weights_only=True)['state_dict']


def assert_bit_equal(one, other):
    assert list(one) == list(other)
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different, f'{len(different)} of {len(one)} differ'


CASES = {
    'epochs': dict(accumulate=5),
    'epochs_saved_by_epoch': dict(by_epoch=True),
    'epochs_two_workers': dict(workers=2),
    'epochs_persistent_workers': dict(workers=2, persistent=True),
    'iterations': dict(iterations=True),
    'iterations_three_workers': dict(iterations=True, workers=3, persistent=True),
}
# Within an epoch, at its last iteration, and before the validation that follows is over.
ANY, LAST, VALIDATION = ('after_train_iter', 3), ('after_train_iter', 6), ('after_val_epoch', 1)
STOPS = {
    'epochs': [ANY, LAST], 'epochs_saved_by_epoch': [VALIDATION], 'epochs_two_workers': [ANY],
    'epochs_persistent_workers': [('after_train_iter', 9)], 'iterations': [ANY, ('after_val_epoch', 2)],
    'iterations_three_workers': [('after_train_iter', 8)]}


@pytest.mark.parametrize('case', CASES)
def test_resumes_bit_for_bit(case, fashion_mnist, tmp_path):
    train(config(fashion_mnist, tmp_path / 'whole', **CASES[case]))
    expected = student(tmp_path / 'whole')
    for index, stop in enumerate(STOPS[case]):
        work_dir = tmp_path / str(index)
        train(config(fashion_mnist, work_dir, **CASES[case]), interrupt=stop)
        resumed = train(config(fashion_mnist, work_dir, **CASES[case]), resume=True)
        assert resumed.iter == 12
        assert_bit_equal(student(work_dir), expected)
        files = sorted(path.name for path in work_dir.glob('*.pth'))
        assert files == sorted(path.name for path in (tmp_path / 'whole').glob('*.pth')), stop
