"""What a run loads must fit its model, whichever key names it."""

from pathlib import Path

import pytest
import torch
from conftest import small_run
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner

from mmreviewkd.apis import train
from mmreviewkd.engine.run_state import KEY
from mmreviewkd.utils import CheckpointError, ConfigError
from mmreviewkd.utils.config import model_config

REVIEW = 'resnet8_review-resnet14.py'


@pytest.fixture(scope='module')
def run(tmp_path_factory, fashion_mnist):
    """A config file; the checkpoint and the student of a run of it."""
    folder = tmp_path_factory.mktemp('run')
    cfg = small_run(REVIEW, fashion_mnist, train_cfg=dict(max_epochs=1), experiment_name='fit')
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.dump(folder / 'review.py')
    train(str(folder / 'review.py'), work_dir=str(folder / 'run'))
    return folder / 'review.py', folder / 'run' / 'epoch_1.pth', folder / 'run' / 'student' / 'student.pth'


def weights_of(run, load_from, tmp_path, monkeypatch):
    """The weights with which training would begin."""
    seen = {}
    monkeypatch.setattr(Runner, 'call_hook', _stop_before_training(Runner.call_hook, seen))
    with pytest.raises(KeyboardInterrupt):
        train(str(run[0]), work_dir=str(tmp_path), cfg_options=dict(load_from=str(load_from)))
    return seen


def _stop_before_training(call_hook, seen):
    def call(self, name, **kwargs):
        if name == 'before_train_epoch':
            seen.update({key: value.clone() for key, value in self.model.state_dict().items()})
            raise KeyboardInterrupt
        call_hook(self, name, **kwargs)
    return call


@pytest.mark.parametrize('layout', ['model', 'module'])
def test_weights_that_fit_are_loaded_from_every_layout(layout, run, tmp_path, monkeypatch):
    state = torch.load(run[1], weights_only=False)['state_dict']
    saved = dict(model=dict(model=state), module={f'module.{name}': value for name, value in state.items()})[layout]
    torch.save(saved, tmp_path / 'weights.pth')
    found = weights_of(run, tmp_path / 'weights.pth', tmp_path, monkeypatch)
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_weights_that_do_not_fit_are_refused_by_the_key_that_names_them(run, tmp_path):
    config, checkpoint, student = run
    cases = [(dict(cfg_options=dict(load_from=str(student))), f"load_from: '{student}' does not fit ReviewDistiller"),
             (dict(resume=str(tmp_path / 'other.pth')), f"--resume: '{tmp_path}/other.pth' does not fit")]
    changed = torch.load(checkpoint, weights_only=False)
    changed['state_dict'].pop('student.head.fc.weight')
    torch.save(changed, tmp_path / 'other.pth')
    for options, message in cases:
        with pytest.raises(CheckpointError, match=rf'^{message}.*: of \d+ entries, \d+ missing \(') as caught:
            train(str(config), work_dir=str(tmp_path / 'new'), **options)
    assert '1 missing (student.head.fc.weight)' in str(caught.value)


def test_the_latest_checkpoint_is_checked_too(run, tmp_path):
    torch.save(dict(meta=dict(epoch=1, iter=1), message_hub={}, state_dict=dict(a=torch.ones(1))), tmp_path / 'a.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'a.pth'))
    with pytest.raises(CheckpointError, match=rf"^--resume: '{tmp_path}/a.pth' does not fit ReviewDistiller"):
        train(str(run[0]), work_dir=str(tmp_path), resume=True)


@pytest.mark.parametrize(('content', 'message'), [
    (None, r'is not a checkpoint of a training run \(it lacks message_hub, meta.epoch, meta.iter\).*set load_from'),
    ({}, 'holds no weights'), ({0: torch.ones(1)}, 'does not name its weights by text'),
    (dict(state_dict=dict(a=torch.ones(1)), meta=[], message_hub={}), r'\(it lacks meta\)')])
def test_a_checkpoint_that_training_cannot_resume_from_is_named(content, message, run, tmp_path):
    path: Path = run[2] if content is None else tmp_path / 'odd.pth'
    if content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=f"^--resume: '{path}' .*{message}"):
        train(str(run[0]), work_dir=str(tmp_path / 'new'), resume=str(path))


def test_a_whole_run_is_resumed(run, tmp_path):
    cfg = dict(train_cfg=dict(max_epochs=2))
    train(str(run[0]), work_dir=str(tmp_path), resume=str(run[1]), cfg_options=cfg)
    assert torch.load(tmp_path / 'epoch_2.pth', weights_only=False)['meta']['epoch'] == 2


def test_the_state_of_another_optimizer_is_damaged_states_are_refused(run, tmp_path):
    config, checkpoint, _ = run

    def resume(**options):
        train(str(config), work_dir=str(tmp_path), resume=str(checkpoint), cfg_options=options)

    with pytest.raises(CheckpointError, match=r'another optimizer than AdamW .* \(it lacks betas, eps\)'):
        resume(optim_wrapper=dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.1)))
    with pytest.raises(CheckpointError, match=r'than SGD .* groups of \[\d+\] parameters, not \[1, 1'):
        resume(optim_wrapper=dict(paramwise_cfg=dict(norm_decay_mult=0.0)))
    with pytest.raises(CheckpointError, match=r'^--resume: .* holds no valid state of a run'):
        changed = torch.load(checkpoint, weights_only=False)
        changed[KEY]['ranks'] = 5
        torch.save(changed, tmp_path / 'odd.pth')
        train(str(config), work_dir=str(tmp_path), resume=str(tmp_path / 'odd.pth'))
    with pytest.raises(CheckpointError, match=r'^--resume: .*odd.pth. cannot be used: '):
        changed[KEY], changed['param_schedulers'] = None, [5]
        torch.save(changed, tmp_path / 'odd.pth')
        train(str(config), work_dir=str(tmp_path), resume=str(tmp_path / 'odd.pth'))


def test_a_teacher_of_the_same_classes_in_another_order_teaches_no_logits(fashion_mnist, tmp_path):
    cfg = small_run('resnet8_kd-resnet14.py', fashion_mnist, experiment_name='order')
    teacher = MODELS.build(model_config(cfg.model.teacher.model, 'model'))
    classes = DATASETS.build(dict(cfg.train_dataloader.dataset, _scope_='mmpretrain')).metainfo['classes']
    torch.save(dict(state_dict=teacher.state_dict(), meta=dict(dataset_meta=dict(classes=classes[::-1]))),
               tmp_path / 'teacher.pth')
    cfg.model.teacher.checkpoint = str(tmp_path / 'teacher.pth')
    cfg.dump(tmp_path / 'kd.py')
    with pytest.raises(ConfigError, match=r"order \(class 0 is 'Ankle boot', in the training data 'T-shirt/top'"):
        train(str(tmp_path / 'kd.py'), work_dir=str(tmp_path / 'run'))


def test_the_state_of_another_schedule_is_refused_and_of_the_same_is_not(run, tmp_path):
    config, checkpoint, _ = run

    def resume(load=checkpoint, images=None, out='changed', **schedule):
        dataset = dict(indices=images) if images else {}
        train(str(config), work_dir=str(tmp_path / out), resume=str(load), cfg_options=dict(
            param_scheduler=schedule, train_dataloader=dict(dataset=dataset), train_cfg=dict(max_epochs=2)))

    cosine = dict(_delete_=True, type='CosineAnnealingLR', convert_to_iter_based=True, by_epoch=True)
    steps = dict(_delete_=True, type='MultiStepLR', by_epoch=True, gamma=0.5)
    batches = torch.load(checkpoint, weights_only=False)[KEY]['batches']
    refused = [
        (checkpoint, dict(total_steps=3), f'total_steps={2 * batches}, not {3 * batches}'),
        (checkpoint, dict(cosine, T_max=2), f'T_max=None, not {2 * batches}'),
    ]
    first, base = {}, Config.fromfile(config).optim_wrapper.optimizer.lr
    for name, schedule in (('cosine', dict(cosine, T_max=2)), ('steps', dict(steps, milestones=[1, 2]))):
        train(str(config), work_dir=str(tmp_path / name), cfg_options=dict(param_scheduler=schedule))
        first[name] = tmp_path / name / 'epoch_1.pth'
    refused += [
        (first['cosine'], dict(cosine, T_max=6), f'T_max={2 * batches}, not {6 * batches}'),
        (first['steps'], dict(steps, milestones=[1, 3]), r'milestones=Counter.*, not Counter.*3: 1'),
    ]
    for path, schedule, message in refused:
        with pytest.raises(CheckpointError, match=rf'another param_scheduler \({message}.*, which would be kept; '):
            resume(path, **schedule)
    resume(first['steps'], out='longer', **steps, milestones=[1, 2])
    lr, = torch.load(tmp_path / 'longer' / 'epoch_2.pth', weights_only=False)['param_schedulers'][0]['_last_value']
    assert lr == base / 2  # as in a run of two epochs from the start
    resume(first['cosine'], images=64, **cosine, T_max=2)


def test_a_warm_up_that_would_not_know_the_iteration_is_refused(fashion_mnist, tmp_path):
    cfg = small_run(REVIEW, fashion_mnist, experiment_name='warmup', **{'model.warmup_iters': 4})
    cfg.default_hooks.runtime_info = None
    cfg.dump(tmp_path / 'review.py')
    with pytest.raises(ConfigError, match=r'model.warmup_iters=4 needs the RuntimeInfoHook'):
        train(str(tmp_path / 'review.py'), work_dir=str(tmp_path / 'run'))
