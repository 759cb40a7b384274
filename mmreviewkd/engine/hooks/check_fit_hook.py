"""Check that loaded weights and the optimizer fit the model."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from mmreviewkd.engine.class_names import check_class_names
from mmreviewkd.models import ReviewDistiller
from mmreviewkd.models.distillers.parameter_groups import check_optimizer
from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.checkpoint import check_fit, state_dict_of
from mmreviewkd.utils.errors import CheckpointError


@HOOKS.register_module()
class CheckFitHook(Hook):
    """Refuse ``--resume`` and ``load_from`` of weights that do not fit the model, and optimizers that leave parts out.

    MMEngine would warn and continue with random weights. :func:`mmreviewkd.apis.train` adds this hook to every run.
    """

    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        """Check the optimizer of a distillation, and the classes whose logits it distils.

        Args:
            runner (Runner): The runner.

        Raises:
            ConfigError: If a part of the distiller is in no optimizer; see
                :func:`~mmreviewkd.models.distillers.parameter_groups.check_optimizer`; or if the teacher has the
                classes of the training data in another order.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if isinstance(model, ReviewDistiller):
            check_optimizer(model, runner.optim_wrapper)
            if model.logit_loss is not None:
                data = getattr(runner.train_dataloader.dataset, 'metainfo', None) or {}
                check_class_names(model.frozen_teacher.classes, data.get('classes') or ())

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check a checkpoint before it is loaded into the model.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The checkpoint. Weights under 'model' or at the top level are moved to 'state_dict',
                where MMEngine expects them.

        Raises:
            CheckpointError: If the weights do not fit, or training cannot resume from the checkpoint.
        """
        key = '--resume' if runner._resume else 'load_from'
        source = repr(runner._load_from) if runner._load_from else f'the latest checkpoint in {runner.work_dir!r}'
        where = f'{key}: {source}'
        state = state_dict_of(checkpoint, where)
        if runner._resume:
            _check_resumable(checkpoint, where)
            _check_optimizer(runner, checkpoint, where)
        check_fit(runner.model.module if is_model_wrapper(runner.model) else runner.model, state, where)
        if 'state_dict' not in checkpoint:
            checkpoint['state_dict'] = state


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
