"""Log the distillation loss of each level and the gradient norms of the losses."""

import functools
import logging
from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from mmreviewkd.engine.distiller_of import distiller_of
from mmreviewkd.models import ReviewDistiller
from mmreviewkd.models.connectors.recomputation import RunningStatisticsUnchanged
from mmreviewkd.models.distillers.level_views import level_losses
from mmreviewkd.models.distillers.loss_gradients import gradient_norms
from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.checks import number
from mmreviewkd.utils.errors import strict_keys

_DISTILLATION = ('loss_distill', 'loss_logit')


@HOOKS.register_module()
@strict_keys
class LevelScalarsHook(Hook):
    """Log ``loss_distill`` of each level, and the gradient norms of the student's own losses and of the distillation.

    In the first iteration and every ``interval`` iterations, two further backward passes through the graph of the step
    give the norms over the student's parameters. The step itself, and so the training, is not changed; all other
    iterations are as without the hook. The scalars ``loss_distill/level1`` (the finest) and so on, which add up to
    ``loss_distill``, ``grad_norm/own`` and ``grad_norm/distill`` go to all backends of the visualizer.

    Args:
        interval (int): Iterations between two observations. Defaults to 100.

    Raises:
        ConfigError: If the interval is not a positive integer.
    """

    def __init__(self, interval: int = 100) -> None:
        self.interval = number(interval, 'LevelScalarsHook: interval', at_least=1, integer=True)
        self._found: dict[str, Tensor] = {}
        self._with_gradients = True

    def before_train(self, runner: Runner) -> None:
        """Refuse a run without a distiller.

        Raises:
            ConfigError: If the model is not a ReviewDistiller.
        """
        distiller_of(runner, type(self).__name__)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Observe this iteration if it is due."""
        if runner.iter == 0 or self.every_n_train_iters(runner, self.interval):
            distiller = distiller_of(runner, type(self).__name__)
            scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
            distiller.observer = functools.partial(
                self._observe, distiller, scaler.get_scale() if scaler is not None else 1.0)

    def after_train_iter(
            self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None) -> None:
        """Write what was observed."""
        distiller = distiller_of(runner, type(self).__name__)
        if distiller.observer is None:
            return
        distiller.observer = None
        if not self._found:
            return
        values = torch.stack([value.detach().float() for value in self._found.values()]).tolist()
        runner.visualizer.add_scalars(dict(zip(self._found, values)), step=runner.iter + 1)

    def _observe(
            self, distiller: ReviewDistiller, scale: float, losses: dict, features: Sequence[Tensor],
            targets: Sequence[Tensor]) -> None:
        self._found = {}
        if distiller.distill_loss is not None:
            warmup = distiller.warmup_factor()
            self._found = {
                f'loss_distill/level{level}': warmup * value for level, value in enumerate(
                    level_losses(distiller.distill_loss, features, targets), start=1)}
        parts = {
            'grad_norm/own': {name: value for name, value in losses.items() if name not in _DISTILLATION},
            'grad_norm/distill': {name: value for name, value in losses.items() if name in _DISTILLATION}}
        totals = {name: distiller.parse_losses(part)[0] for name, part in parts.items()}
        if not self._with_gradients:
            return
        try:
            # Activation checkpointing runs blocks of the student again.
            with RunningStatisticsUnchanged(distiller.student):
                self._found.update(gradient_norms(totals, distiller.student.parameters(), scale))
        except RuntimeError as error:  # by reentrant activation checkpointing
            self._with_gradients = False
            print_log(f'LevelScalarsHook logs no gradient norms: {error}', 'current', logging.WARNING)
