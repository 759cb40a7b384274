"""What the runner refuses when it builds data loaders and schedules, what it warns of, and where it resumes."""

import itertools

import pytest
import torch
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from torch.utils.data import TensorDataset

from mmreviewkd.engine.hooks import CheckpointHook
from mmreviewkd.engine.runner import ResumableRunner
from mmreviewkd.utils import ConfigError

COUNT = itertools.count()


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode):
        return dict(loss=self.layer(inputs[0]).sum())


def build(work_dir, images=4, drop_last=False, schedule=None, epochs=2, resume=False, out_dir=None, model=None,
          checkpoint='CheckpointHook', **optim_wrapper):
    return ResumableRunner(
        model or Line(), str(work_dir), train_cfg=dict(by_epoch=True, max_epochs=epochs), resume=resume,
        default_hooks=dict(logger=None, checkpoint=dict(type=checkpoint, interval=1, out_dir=out_dir)),
        train_dataloader=dict(
            dataset=TensorDataset(torch.ones(images, 1)), batch_size=3, drop_last=drop_last,
            sampler=dict(type='DefaultSampler', shuffle=False), collate_fn=dict(type='default_collate')),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), **optim_wrapper), param_scheduler=schedule,
        experiment_name=f'runner_{next(COUNT)}', log_level='WARNING')


def train(work_dir, **settings):
    runner = build(work_dir, **settings)
    said, runner.logger.warning = [], lambda message: said.append(message)
    runner.train()
    return said


@pytest.mark.parametrize('images, message', [
    (0, r'train_dataloader: the data set \(TensorDataset\) is empty'),
    (2, 'train_dataloader: 2 images give no batch of 3; use a smaller batch_size, or drop_last=False')])
def test_a_data_loader_without_a_batch_is_refused(images, message, tmp_path):
    with pytest.raises(ConfigError, match=f'^{message}'):
        train(tmp_path, images=images, drop_last=True)


def cycle(**settings):
    return dict(type='OneCycleLR', eta_max=0.1, **settings)


@pytest.mark.parametrize('schedule, found', [
    (cycle(by_epoch=False, total_steps=3), '3 steps, but the run 4 iterations'),
    (cycle(by_epoch=True, total_steps=1), '1 steps, but the run 2 epochs'),
    (cycle(by_epoch=True, total_steps=1, convert_to_iter_based=True), '2 steps, but the run 4 iterations')])
def test_a_cycle_that_is_shorter_than_the_run_is_refused(schedule, found, tmp_path):
    with pytest.raises(ConfigError, match=f'^param_scheduler: the cycle of OneCycleLR has {found}'):
        train(tmp_path, schedule=schedule)


def test_a_cycle_of_part_of_the_run_is_not(tmp_path):
    for i, schedule in enumerate((cycle(total_steps=2), cycle(by_epoch=False, total_steps=2, begin=1, end=3))):
        train(tmp_path / str(i), schedule=schedule)


def test_custom_keys_of_no_parameter_are_warned_of(tmp_path):
    keys = {'layer': dict(lr_mult=0.1), 'laier': dict(lr_mult=0.1)}
    said = [line for line in train(tmp_path, paramwise_cfg=dict(custom_keys=keys)) if 'custom_keys' in line]
    assert said == ["optim_wrapper.paramwise_cfg.custom_keys: 'laier' is in the name of no parameter"]


def test_a_run_resumes_from_the_folder_of_out_dir(tmp_path):
    work_dir, out_dir = tmp_path / 'run', tmp_path / 'checkpoints'
    train(work_dir, out_dir=str(out_dir))
    (work_dir / 'last_checkpoint').write_text('')
    first = (out_dir / 'run' / 'epoch_1.pth').stat().st_mtime_ns
    train(work_dir, out_dir=str(out_dir), epochs=3, resume=True)
    assert (out_dir / 'run' / 'epoch_3.pth').exists()
    assert (out_dir / 'run' / 'epoch_1.pth').stat().st_mtime_ns == first


class Counts(Line):
    """Notes the iteration that the current message hub tells."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, inputs, mode):
        self.seen.append(MessageHub.get_current_instance().get_info('iter'))
        return super().forward(inputs, mode)


def test_of_two_runners_the_one_that_trains_tells_the_iteration(tmp_path):
    first, second = (build(tmp_path / name, model=Counts()) for name in ('first', 'second'))
    first.train()
    second.train()
    assert first.model.seen == second.model.seen == [0, 1, 2, 3]


@pytest.mark.parametrize('kind', [
    'CheckpointHook', 'mmengine.CheckpointHook', 'mmengine.hooks.CheckpointHook',
    'mmengine.hooks.checkpoint_hook.CheckpointHook', MMEngineCheckpointHook])
def test_the_checkpoint_hook_of_mmengine_is_replaced_however_it_is_named(kind, tmp_path):
    assert CheckpointHook in map(type, build(tmp_path, checkpoint=kind).hooks)


def test_a_refused_training_leaves_the_config_of_the_one_that_runs(tmp_path, monkeypatch):
    (tmp_path / 'run.py').write_text('lr = 0.1')
    refused = build(tmp_path)
    object.__setattr__(refused.cfg, '_filename', 'run.py')
    refused.cfg.lr = 77.0

    def in_use(folder):
        raise ConfigError(f'{folder} is in use by another training')

    with monkeypatch.context() as patch, pytest.raises(ConfigError, match='in use'):
        patch.setattr('mmreviewkd.engine.runner.locked_work_dir', in_use)
        refused.train()
    assert (tmp_path / 'run.py').read_text() == 'lr = 0.1'
    refused.train()
    assert 'lr = 77.0' in (tmp_path / 'run.py').read_text()
