"""Which files a run keeps when saving fails, and what it says if it cannot resume bit for bit."""

import itertools

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader, TensorDataset

from mmreviewkd.engine.hooks.checkpoint_hook import CheckpointHook
from mmreviewkd.engine.run_state import KEY

COUNT = itertools.count()


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode):
        return dict(loss=self.layer(inputs).sum()) if mode == 'loss' else [inputs]


class Rising(BaseMetric):
    """A metric that is better in every epoch."""

    def __init__(self):
        super().__init__()
        self.score = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.score += 1
        return dict(score=self.score)


def build(work_dir, images=4, resume=False, save_best=None):
    def loader():
        return DataLoader(TensorDataset(torch.arange(float(images))[:, None]), batch_size=2)
    hook = dict(type=CheckpointHook, interval=1, max_keep_ckpts=1, save_best=save_best, rule='greater')
    validation = dict(val_dataloader=loader(), val_cfg=dict(), val_evaluator=dict(type=Rising)) if save_best else {}
    return Runner(
        Line(), str(work_dir), train_dataloader=loader(), train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), default_hooks=dict(checkpoint=hook, logger=None),
        resume=resume, experiment_name=f'checkpoint_hook_{next(COUNT)}', log_level='WARNING', **validation)


def fail_in_epoch(runner, epoch, monkeypatch, prefix):
    save = runner.save_checkpoint

    def failing(out_dir, filename, *args, **kwargs):
        if filename.startswith(prefix) and filename.endswith(f'epoch_{epoch}.pth'):
            raise OSError('disk full')
        save(out_dir, filename, *args, **kwargs)
    monkeypatch.setattr(runner, 'save_checkpoint', failing)


@pytest.mark.parametrize('save_best, prefix, kept', [
    (None, 'epoch', ['epoch_2.pth']),
    ('score', 'best', ['best_score_epoch_2.pth', 'epoch_3.pth']),
])
def test_the_last_checkpoint_is_deleted_only_after_the_next_is_complete(
        save_best, prefix, kept, tmp_path, monkeypatch):
    runner = build(tmp_path, save_best=save_best)
    fail_in_epoch(runner, 3, monkeypatch, prefix)
    with pytest.raises(OSError, match='disk full'):
        runner.train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == kept


@pytest.mark.parametrize('images, stored, message', [
    (8, True, "saved with {'processes': 1, 'batches': 2, 'num_workers': 0}, and resumes with "
              "{'processes': 1, 'batches': 4, 'num_workers': 0}"),
    (4, False, 'The checkpoint holds no state of its random generators'),
])
def test_a_run_that_cannot_resume_bit_for_bit_says_why(images, stored, message, tmp_path, monkeypatch):
    runner = build(tmp_path)
    fail_in_epoch(runner, 3, monkeypatch, 'epoch')
    with pytest.raises(OSError):
        runner.train()
    path = tmp_path / 'epoch_2.pth'
    checkpoint = torch.load(path, weights_only=False)
    if not stored:
        del checkpoint[KEY]
        torch.save(checkpoint, path)
    resumed, said = build(tmp_path, images=images, resume=True), []
    monkeypatch.setattr(resumed.logger, 'warning', said.append)
    resumed.train()
    assert resumed.epoch == 3
    assert any(message in line for line in said), said
