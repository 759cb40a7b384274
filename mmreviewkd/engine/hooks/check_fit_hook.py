"""Check that loaded weights, the optimizer and its schedules fit the run."""

import inspect

from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict, _ParamScheduler
from mmengine.runner import Runner

from mmreviewkd.engine.class_names import check_class_names
from mmreviewkd.engine.run_state import KEY
from mmreviewkd.models import ReviewDistiller
from mmreviewkd.models.distillers.parameter_groups import check_optimizer
from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.checkpoint import check_fit, state_dict_of
from mmreviewkd.utils.errors import CheckpointError, ConfigError


@HOOKS.register_module()
class CheckFitHook(Hook):
    """Refuse ``--resume`` and ``load_from`` of weights that do not fit the model, and optimizers that leave parts out.

    MMEngine would warn and continue with random weights. :func:`mmreviewkd.apis.train` adds this hook to every run.
    """

    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        """Check optimizer and classes of a distillation, and continue schedules that had ended with a shorter run.

        Args:
            runner (Runner): The runner.

        Raises:
            ConfigError: If a part of the distiller is in no optimizer; see
                :func:`~mmreviewkd.models.distillers.parameter_groups.check_optimizer`; if its warm-up would not know
                the iteration; or if the teacher has the classes of the training data in another order.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if isinstance(model, ReviewDistiller):
            check_optimizer(model, runner.optim_wrapper)
            _check_warmup(model, runner)
            if model.logit_loss is not None:
                data = getattr(runner.train_dataloader.dataset, 'metainfo', None) or {}
                check_class_names(model.frozen_teacher.classes, data.get('classes') or ())
        if runner._resume and isinstance(runner.param_schedulers, list):
            for schedule in runner.param_schedulers:
                _catch_up(schedule)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check a checkpoint before it is loaded into the model.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint. Weights under 'model' or at the top level are moved to 'state_dict',
                where MMEngine expects them.

        Raises:
            CheckpointError: If the weights do not fit, or training cannot resume from the checkpoint as configured.
        """
        key = '--resume' if runner._resume else 'load_from'
        source = repr(runner._load_from) if runner._load_from else f'the latest checkpoint in {runner.work_dir!r}'
        where = f'{key}: {source}'
        state = state_dict_of(checkpoint, where)
        if runner._resume:
            _check_resumable(checkpoint, where)
            _check_optimizer(runner, checkpoint, where)
            _check_schedules(runner, checkpoint, where)
        check_fit(runner.model.module if is_model_wrapper(runner.model) else runner.model, state, where)
        if 'state_dict' not in checkpoint:
            checkpoint['state_dict'] = state


def _check_warmup(model: ReviewDistiller, runner: Runner) -> None:
    """Refuse a warm-up without the hook that tells the iteration, as it would be skipped."""
    warmup = next((key for key in ('warmup_epochs', 'warmup_iters', 'warmup_ratio') if getattr(model, key)), None)
    if warmup and not any(isinstance(hook, RuntimeInfoHook) for hook in runner.hooks):
        raise ConfigError(
            f'model.{warmup}={getattr(model, warmup)} needs the RuntimeInfoHook, which tells it the iteration, but '
            "default_hooks.runtime_info is None; leave it out, or set it to dict(type='RuntimeInfoHook')")


def _check_resumable(checkpoint: dict, where: str) -> None:
    meta = checkpoint.get('meta')
    missing = [key for key in ('meta', 'message_hub') if not isinstance(checkpoint.get(key), dict)]
    missing += [f'meta.{key}' for key in ('epoch', 'iter') if isinstance(meta, dict) and type(meta.get(key)) is not int]
    if missing:
        raise CheckpointError(
            f'{where} is not a checkpoint of a training run (it lacks {", ".join(missing)}), so training cannot resume '
            'from it; to start from its weights, omit --resume and set load_from, as in --cfg-options load_from=FILE')


def _check_optimizer(runner: Runner, checkpoint: dict, where: str) -> None:
    """Refuse the state of another optimizer, which torch loads and then trips over in the first step."""
    wrapper, saved = runner.optim_wrapper, checkpoint.get('optimizer')
    if saved is None:
        runner.logger.warning(f'{where} holds no state of the optimizer, which starts anew')
    if saved is None or isinstance(wrapper, OptimWrapperDict) or not isinstance(wrapper, OptimWrapper):
        return
    groups = saved.get('param_groups') if isinstance(saved, dict) else None
    own = [len(group['params']) for group in wrapper.param_groups]
    optimizer = wrapper.optimizer
    if not isinstance(groups, list) or not all(isinstance(group, dict) and 'params' in group for group in groups):
        found = 'it holds no groups of parameters'
    elif [len(group['params']) for group in groups] != own:
        found = f'it holds groups of {[len(group["params"]) for group in groups]!r:.60} parameters, not {own!r:.60}'
    else:
        # Flags are left out, as versions of torch add some.
        needed = [key for key, value in optimizer.defaults.items() if not isinstance(value, (bool, type(None)))]
        missing = [key for key in needed if any(key not in group for group in groups)]
        found = f'it lacks {", ".join(missing)}' if missing else None
    if found:
        raise CheckpointError(
            f'{where} was saved with another optimizer than {type(optimizer).__name__} with its settings ({found}); '
            'resume with the config that the run was started with, or start from its weights with load_from')


def _check_schedules(runner: Runner, checkpoint: dict, where: str) -> None:
    """Refuse the state of other schedules, with which MMEngine would replace the settings of the config."""
    built, saved = runner.param_schedulers, checkpoint.get('param_schedulers')
    if built and not saved:
        runner.logger.warning(f'{where} holds no state of the schedules, which start anew')
        return
    if not (isinstance(built, list) and isinstance(saved, list)):
        return
    state = checkpoint.get(KEY)
    batches = state.get('batches') if isinstance(state, dict) else None
    same_length = batches in (None, len(runner.train_dataloader))
    found = f'{len(saved)} schedules, not {len(built)}' if len(saved) != len(built) else None
    for schedule, values in zip(built, saved):
        # What MMEngine converts from epochs to iterations changes with the number of images.
        if found or not isinstance(values, dict) or not (schedule.by_epoch or same_length):
            continue
        own = schedule.state_dict()
        changed = [key for key in _settings(schedule) if key in own and values.get(key) != own[key]]
        found = ', '.join(f'{key}={values.get(key)!r:.60}, not {own[key]!r:.60}' for key in changed)
        values['end'] = own['end']  # by default that of the run, which may be longer now, see _catch_up
    if found:
        raise CheckpointError(
            f'{where} was saved with another param_scheduler ({found}), which would be kept; resume with the config '
            'that the run was started with, or start from its weights with load_from')


def _settings(schedule: _ParamScheduler) -> list[str]:
    """Names of the settings of a schedule: the arguments of its constructors, and `total_iters`."""
    names = {name: None for part in type(schedule).__mro__ for name in inspect.signature(part.__init__).parameters}
    return [name for name in {**names, 'total_iters': None} if name not in ('last_step', 'verbose', 'end')]


def _catch_up(schedule: _ParamScheduler) -> None:
    """Advance a schedule that had ended, and now ends later, to the step of the run."""
    due = min(schedule._global_step, schedule.end - 1) - schedule.begin
    missed = due - schedule.last_step
    if schedule.last_step >= 0 and missed > 0:
        schedule._global_step -= missed
        for _ in range(missed):
            schedule.step()
