"""Save checkpoints from which a killed run resumes bit for bit."""

import inspect
from collections import deque
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.runner import Runner

from mmreviewkd.engine.resumable_loader import ResumableDataLoader
from mmreviewkd.engine.run_state import (
    KEY,
    check_run_state,
    end_resumed_epoch,
    gather_run_state,
    position_by_count,
    restore_gradients,
    restore_place,
    restore_random_state,
    run_pending_validation,
)
from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.checks import flag, number
from mmreviewkd.utils.errors import ConfigError, check_keys, did_you_mean
from mmreviewkd.utils.files import check_writable, remove_partial_files
from mmreviewkd.utils.random import RANDOM_STATE_BYTES

_WHERE = 'default_hooks.checkpoint'
_KEYS = [name for name in inspect.signature(MMEngineCheckpointHook).parameters if name != 'kwargs']


@HOOKS.register_module()
class CheckpointHook(MMEngineCheckpointHook):
    """MMEngine's ``CheckpointHook`` with complete run state in every checkpoint; the arguments are the same.

    An old checkpoint is deleted only after the new one is complete. Checkpoints also have the random state of every
    process and data worker, the position in the epoch and the accumulated gradients. A killed run therefore resumes at
    the iteration of its checkpoint with the same augmentation, and ends with the same weights. A validation that was
    due when the run was killed is run on resuming. Without checkpoints at an interval (``interval=-1``), a run resumes
    from its best checkpoint, which then has this state, too.

    Raises:
        ConfigError: If an argument is unknown or of the wrong type, or ``filename_tmpl`` has no number.
    """

    _saving = None
    _resumed = None
    _validated = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        check_keys(kwargs, _KEYS, _WHERE)
        for key in ('by_epoch', 'save_last', 'save_optimizer', 'save_param_scheduler'):
            flag(kwargs.get(key, True), f'{_WHERE}.{key}')
        for key, least in (('interval', -1), ('max_keep_ckpts', -1), ('save_begin', 0)):
            number(kwargs.get(key, 1), f'{_WHERE}.{key}', at_least=least, integer=True)
        super().__init__(*args, **kwargs)
        _check_template(self.filename_tmpl)

    def before_train(self, runner: Runner) -> None:
        """Restore the random state of a run that resumes between two epochs, and run a validation that was due.

        Raises:
            ConfigError: If the folder of the checkpoints cannot be written to.
        """
        kept = runner.message_hub.runtime_info.get('keep_ckpt_ids')
        if kept is not None:  # names files to delete, and a checkpoint may hold anything
            runner.message_hub.update_info(
                'keep_ckpt_ids', [step for step in kept if type(step) is int] if isinstance(kept, list) else [])
        super().before_train(runner)
        if isinstance(self.file_backend, LocalBackend):
            check_writable(self.out_dir, f'{_WHERE}.out_dir')
            if is_main_process():
                remove_partial_files(Path(self.out_dir))
        if self.save_best:
            self._set_best({key: self._here(path) for key, path in self._best().items()})
        if not (runner._resume and runner._has_loaded):
            return
        state = self._state_of_this_process(runner)
        if state is None:
            saved = self._resumed or dict(batches=None, validated=True)
            place = dict(position=position_by_count(runner, saved['batches']), workers=None)
            self._resumed = dict(validated=saved['validated'], passes=0, mine=place)
            if not place['position']:
                self._end_resuming(runner)
            return
        self._resumed['mine'] = state
        restore_gradients(runner, state)
        if not state['position']:
            if state['workers'] is not None:
                runner.train_dataloader.continue_workers(state['workers'])
            restore_random_state(state)
            self._end_resuming(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Restore the position of a run that resumes within an epoch."""
        if self._resumed is None:
            return
        state = self._resumed['mine']
        restore_place(runner, state, self._resumed['passes'])
        restore_random_state(state)
        if hasattr(runner.train_loop, 'dataloader_iterator'):
            self._end_resuming(runner)
        self._resumed = None

    def after_train_epoch(self, runner: Runner) -> None:
        """Save a checkpoint if it is due."""
        end_resumed_epoch(runner)
        super().after_train_epoch(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the state of the run to the checkpoint."""
        if self._saving is None:
            return
        checkpoint[KEY] = self._saving
        if self.save_optimizer and 'optimizer' not in checkpoint:  # MMEngine leaves both out of best checkpoints
            checkpoint['optimizer'] = runner.optim_wrapper.state_dict()
        if self.save_param_scheduler and runner.param_schedulers and 'param_schedulers' not in checkpoint:
            checkpoint['param_schedulers'] = _states(runner.param_schedulers)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the state of the run until its loop starts."""
        if runner._resume:
            self._resumed = checkpoint.get(KEY)
            if self._resumed is not None:
                check_run_state(self._resumed, f'--resume: {runner._load_from!r}')

    def _end_resuming(self, runner: Runner) -> None:
        validated, self._resumed = self._resumed['validated'], None
        if not validated:
            run_pending_validation(runner)

    def _state_of_this_process(self, runner: Runner) -> dict | None:
        """Return the state saved for this process, if this run is set up like the one that saved it."""
        saved, loader = self._resumed, runner.train_dataloader
        if saved is None:
            runner.logger.warning(
                'The checkpoint holds no state of its random generators, so the run does not resume bit for bit')
            return None
        here = dict(processes=get_world_size(), batches=len(loader), num_workers=loader.num_workers)
        there = dict(processes=len(saved['ranks']), batches=saved['batches'], num_workers=saved['num_workers'])
        if here != there or not isinstance(loader, ResumableDataLoader):
            runner.logger.warning(
                f'The run does not resume bit for bit: it was saved with {there}, and resumes with {here}')
            return None
        if saved['ranks'][get_rank()]['random'].numel() != RANDOM_STATE_BYTES:
            runner.logger.warning(
                'The run does not resume bit for bit: it was saved with another version of torch or NumPy')
            return None
        return saved['ranks'][get_rank()]

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        self._saving = gather_run_state(runner, self._validated)
        limit, self.max_keep_ckpts = self.max_keep_ckpts, -1  # delete nothing yet
        steps = []
        if limit > 0:
            steps = [*(kept for kept in self.keep_ckpt_ids if kept != step), step]
            # If the run is killed before the old checkpoint is deleted, the resumed run finds it in this list and
            # deletes it.
            runner.message_hub.update_info('keep_ckpt_ids', steps)
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            self.max_keep_ckpts, self._saving = limit, None
        if limit > 0:
            for old in steps[:-limit]:
                self._remove(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))
            self.keep_ckpt_ids = deque(steps[-limit:], limit)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        if not metrics:  # as of mmdet's detectors that detect nothing yet
            runner.logger.warning('The validation gave no metrics, so no best checkpoint is saved')
            return
        for key in self.key_indicators:
            if key != 'auto' and key not in metrics:
                raise ConfigError(
                    f'{_WHERE}.save_best: the validation gives no {key!r} ({did_you_mean(key, metrics)}); correct it '
                    'and continue the training with --resume')
        before = self._best()
        self._set_best(dict.fromkeys(before))  # delete nothing yet
        self._validated = True
        if self.interval < 0:
            self._saving = gather_run_state(runner, self._validated)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self._validated, self._saving = False, None
            self._set_best({key: path or before[key] for key, path in self._best().items()})
        for key, path in self._best().items():
            if before[key] and before[key] != path:
                self._remove(before[key])

    def _best(self) -> dict[str | None, str | None]:
        """Return the files of the best checkpoints, by metric if there are several."""
        return dict(self.best_ckpt_path_dict) if hasattr(self, 'best_ckpt_path_dict') else {None: self.best_ckpt_path}

    def _set_best(self, paths: dict[str | None, str | None]) -> None:
        if hasattr(self, 'best_ckpt_path_dict'):
            self.best_ckpt_path_dict = paths
        else:
            self.best_ckpt_path = paths[None]

    def _here(self, path: Any) -> str | None:
        """Return the best checkpoint of this name in this run's folder.

        The path comes from a checkpoint, which may be that of a run in another folder, or hold anything; the file is
        deleted when there is a better one.
        """
        name = Path(path).name if isinstance(path, str) else ''
        here = self.file_backend.join_path(self.out_dir, name)
        return here if name.startswith('best_') and self.file_backend.exists(here) else None

    def _remove(self, path: str) -> None:
        if not is_main_process():
            return
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # as DeepSpeed saves
            self.file_backend.rmtree(path)


def _states(schedulers: Any) -> Any:
    if isinstance(schedulers, dict):
        return {name: _states(some) for name, some in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers]


def _check_template(template: Any) -> None:
    try:
        names = {template.format(step) for step in (1, 2)}
    except (AttributeError, IndexError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{_WHERE}.filename_tmpl must be a name such as 'epoch_{{}}.pth', but is {template!r}") from error
    if len(names) < 2:
        raise ConfigError(
            f"{_WHERE}.filename_tmpl is {template!r}, which gives every checkpoint the same name; put {{}} where the "
            "number of the epoch or iteration belongs, as in 'epoch_{}.pth'")
