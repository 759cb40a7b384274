"""Stop training if the loss is no longer finite."""

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import CheckpointError, DivergenceError, strict_keys
from mmreviewkd.utils.finite import check_finite


@HOOKS.register_module()
@strict_keys
class FiniteLossHook(Hook):
    """Stop training if the loss stays NaN or infinite, and save no checkpoint with weights that are not finite.

    The hook counts consecutive iterations with a non-finite loss. The count stays on the device of the loss and is
    read only every ``interval`` iterations and at the end of the training, so that no step waits for the device. A
    finite loss resets it to 0. Steps that a ``GradScaler`` skips do not count, because only their gradients overflow.

    Args:
        patience (int): Consecutive iterations with a non-finite loss that end the training. Defaults to 10.
        interval (int): Iterations between two readings of the count. Defaults to 50.

    Raises:
        ConfigError: If an argument is not a positive integer.
    """

    def __init__(self, patience: int = 10, interval: int = 50) -> None:
        self.patience = number(patience, 'FiniteLossHook: patience', at_least=1, integer=True)
        self.interval = number(interval, 'FiniteLossHook: interval', at_least=1, integer=True)
        self._streak: Tensor | None = None

    def after_train_iter(
            self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None) -> None:
        """Count this iteration, and read the count every ``interval`` iterations.

        Raises:
            DivergenceError: If the loss has not been finite for ``patience`` iterations.
        """
        loss = (outputs or {}).get('loss')
        if not isinstance(loss, Tensor):
            return
        bad = ~torch.isfinite(loss.detach()).all()
        self._streak = bad.long() if self._streak is None else (self._streak + 1) * bad
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            self._stop_if_not_finite(runner, outputs)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save a model that is not finite.

        Raises:
            DivergenceError: If a weight or a running statistic of the model (in a distiller, of the student) is not
                finite.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        try:
            check_finite(
                getattr(model, 'student', model), f'no checkpoint is saved at iteration {runner.iter}{_ADVICE}')
        except CheckpointError as error:
            raise DivergenceError(str(error)) from error

    def _stop_if_not_finite(self, runner: Runner, outputs: dict) -> None:
        # All processes stop at the same iteration, even if only one of them has had a bad batch so far.
        streak = self._streak.clone()
        all_reduce(streak, op='max')
        streak = int(streak)
        if streak < self.patience:
            return
        bad = [name for name, value in outputs.items() if isinstance(value, Tensor) and not value.isfinite().all()]
        rates = ', '.join(sorted({f'{rate:.3g}' for rates in runner.optim_wrapper.get_lr().values() for rate in rates}))
        raise DivergenceError(
            f'the loss has not been finite for {streak} iterations, since iteration {runner.iter + 2 - streak} '
            f'({", ".join(bad)}; learning rate {rates}); training stops{_ADVICE}')


_ADVICE = ' (lower the learning rate or loss_weight, warm up longer, clip gradients, or check the data)'
