"""Which files a run keeps when saving fails, and what it says if it cannot resume bit for bit."""

import itertools

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader, TensorDataset

from mmreviewkd.engine.hooks.checkpoint_hook import CheckpointHook
from mmreviewkd.engine.run_state import KEY
from mmreviewkd.utils import ConfigError

COUNT = itertools.count()


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode):
        return dict(loss=self.layer(inputs).sum()) if mode == 'loss' else [inputs]


class Rising(BaseMetric):
    """A metric that is better in every epoch."""

    def __init__(self, without_metrics=()):
        super().__init__()
        self.score = 0
        self.without_metrics = without_metrics

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        self.score += 1
        return dict(score=self.score) if self.score not in self.without_metrics else {}


def build(work_dir, images=4, resume=False, save_best=None, without_metrics=(), load_from=None):
    def loader():
        return DataLoader(TensorDataset(torch.arange(float(images))[:, None]), batch_size=2)
    hook = dict(type=CheckpointHook, interval=1, max_keep_ckpts=1, save_best=save_best, rule='greater')
    evaluator = dict(type=Rising, without_metrics=without_metrics)
    validation = dict(val_dataloader=loader(), val_cfg=dict(), val_evaluator=evaluator) if save_best else {}
    return Runner(
        Line(), str(work_dir), train_dataloader=loader(), train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), default_hooks=dict(checkpoint=hook, logger=None),
        resume=resume, load_from=load_from, experiment_name=f'checkpoint_hook_{next(COUNT)}', log_level='WARNING',
        **validation)


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


@pytest.mark.parametrize('save_best', ['scoer', ['score', 'scoer']])
def test_a_metric_that_the_validation_does_not_give_is_named(save_best, tmp_path):
    with pytest.raises(ConfigError, match=r"save_best: the validation gives no 'scoer' \(did you mean 'score'\?\)"):
        build(tmp_path, save_best=save_best).train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']


@pytest.mark.parametrize('save_best', ['score', 'auto'])
def test_a_validation_without_metrics_is_no_error(save_best, tmp_path):
    """mmdet's CocoMetric gives none if nothing is detected."""
    build(tmp_path, save_best=save_best, without_metrics=(1, 3)).train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['best_score_epoch_2.pth', 'epoch_3.pth']


def test_a_file_that_a_checkpoint_names_elsewhere_is_not_deleted(tmp_path):
    """As that of a run that resumes in another work dir, or of a checkpoint made to do harm."""
    first = build(tmp_path / 'first', save_best='score')
    fail_after_epoch(first, 2)
    precious = tmp_path / 'precious.txt'
    precious.write_text('')
    checkpoint = torch.load(tmp_path / 'first' / 'epoch_2.pth', weights_only=False)
    for best in (tmp_path / 'first' / 'best_score_epoch_2.pth', precious, tmp_path, 5):
        checkpoint['message_hub']['runtime_info'].update(best_ckpt=best if best == 5 else str(best), best_score=0)
        checkpoint['message_hub']['runtime_info']['keep_ckpt_ids'] = [f'/../../{precious.name}', 2]
        torch.save(checkpoint, tmp_path / 'changed.pth')
        second = tmp_path / 'second'
        build(second, save_best='score', resume=True, load_from=str(tmp_path / 'changed.pth')).train()
        assert sorted(path.name for path in second.glob('*.pth')) == ['best_score_epoch_3.pth', 'epoch_3.pth']
    assert precious.exists() and (tmp_path / 'first' / 'best_score_epoch_2.pth').exists()


def fail_after_epoch(runner, epoch):
    class Stop(Hook):
        priority = 'LOWEST'

        def after_val_epoch(self, runner, metrics=None):
            if runner.epoch == epoch:
                raise InterruptedError

    runner.register_hook(Stop())
    with pytest.raises(InterruptedError):
        runner.train()


@pytest.mark.parametrize('settings, message', [
    (dict(interval='x'), r'interval must be an integer of at least -1, but is .x.'),
    (dict(max_keep_ckpts=1.5), 'max_keep_ckpts must be an integer'), (dict(by_epoch='no'), 'by_epoch must be True'),
    (dict(save_begin=-1), 'save_begin must be an integer of at least 0'),
    (dict(intervall=1), "did you mean 'interval'"),
    (dict(filename_tmpl='x.pth'), 'gives every checkpoint the same name'),
    (dict(filename_tmpl='{x}.pth'), r"must be a name such as 'epoch_\{\}.pth', but is '\{x\}.pth'"),
], ids=str)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=f'^default_hooks.checkpoint.*{message}'):
        CheckpointHook(**settings)


def test_partial_files_of_killed_runs_are_removed_where_checkpoints_are_saved(tmp_path):
    partial = tmp_path / 'elsewhere' / 'run' / '.epoch_1.pth.abcd1234.pth'
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b'partial')
    runner = build(tmp_path / 'run')
    hook = next(hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    hook.out_dir = str(tmp_path / 'elsewhere')
    runner.train()
    assert [path.name for path in partial.parent.iterdir()] == ['epoch_3.pth']
