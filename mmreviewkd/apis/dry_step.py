"""Measure losses, gradients, time and memory of one training step, without changing the model."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from mmreviewkd.models import ReviewDistiller
from mmreviewkd.utils.config import without_pretrained
from mmreviewkd.utils.config_errors import build_errors_named
from mmreviewkd.utils.config_values import found_values
from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.first_iteration import first_iteration
from mmreviewkd.utils.kept_bytes import bytes_kept
from mmreviewkd.utils.quiet import only_warnings_logged
from mmreviewkd.utils.random import preserved_random_state

from .first_batch import first_batch
from .normalization import check_normalization
from .training_image import images_of

# A step that took less time is run again, because the first run includes one-time costs.
_SHORT_STEP = 5.0


@dataclass(frozen=True)
class DryStep:
    """The measurements of one training step.

    Args:
        losses (dict[str, float]): The losses by name.
        own_gradient (float): Euclidean norm of the gradient of the student's own losses over the student's parameters.
        distill_gradient (float): The same norm for the distillation losses.
        seconds (float): Time of the distilled step, forward and backward pass.
        seconds_alone (float): Time of the student's own step.
        bytes_kept (int): Bytes that the distilled step keeps for the backward pass.
        bytes_kept_alone (int): Bytes that the student's own step keeps.
        image (tuple[int, ...]): ``(N, C, H, W)`` of the batch.
        iterations (int, optional): Iterations of the whole training; None if the data set's length is not known.
        missing (str): Why the data are made up; empty if they are real. Defaults to ''.
        pretrained (bool): Whether pretrained weights of the student were left out. Defaults to False.
    """

    losses: dict[str, float]
    own_gradient: float
    distill_gradient: float
    seconds: float
    seconds_alone: float
    bytes_kept: int
    bytes_kept_alone: int
    image: tuple[int, ...]
    iterations: int | None
    missing: str = ''
    pretrained: bool = False

    def lines(self) -> list[str]:
        """Return a report with one line per finding."""
        data = f'made-up data, as the images are not here ({self.missing})' if self.missing else 'its own data'
        batch = ' x '.join(map(str, self.image))
        mib = [value / 2**20 for value in (self.bytes_kept, self.bytes_kept_alone)]
        lines = [
            f"one step of the student's training pipeline on {data}: {batch}",
            '  losses: ' + ', '.join(f'{name} {value:.4g}' for name, value in self.losses.items()),
            f"  gradient norms over the student's parameters: own losses {self.own_gradient:.4g}, distillation "
            f'{self.distill_gradient:.4g} ({_ratio(self.distill_gradient, self.own_gradient)} times)',
            f'  time: {self.seconds:.2f} s; the student alone {self.seconds_alone:.2f} s '
            f'({_ratio(self.seconds, self.seconds_alone)} times)',
            f'  kept for the backward pass: {mib[0]:.1f} MiB; by the student alone {mib[1]:.1f} MiB '
            f'({_ratio(*mib)} times)']
        if self.pretrained:
            lines.append("  the student's pretrained weights were left out here; training loads them")
        if self.iterations is None:
            return [*lines, "  the whole training: unknown, as the data set's length is"]
        return [*lines, f'  the whole training: {self.iterations} iterations, about '
                f'{_duration(self.iterations * self.seconds)} like this, data loading and validation not included']


def dry_step(cfg: Config) -> DryStep:
    """Take one training step without an optimizer; the pretrained weights of the student are not loaded.

    Args:
        cfg (Config): The config of a distillation.

    Raises:
        NoBatchError: If its images are not on this machine, and its pipeline does not accept made-up ones.
        ConfigError: If a part of it cannot be built, its pipeline fails, or a loss or gradient is not finite.
    """
    check_normalization(cfg)
    model = copy.deepcopy(cfg.model)
    model.student.model = without_pretrained(model.student.model)
    kept, given = ([found_values(part.student.model, key) for key in ('init_cfg', 'pretrained')]
                   for part in (model, cfg.model))
    pretrained = list(map(len, kept)) != list(map(len, given))
    scope = DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine'))
    with preserved_random_state(), scope, only_warnings_logged(), first_iteration():
        if cfg.get('data_preprocessor'):
            model.setdefault('data_preprocessor', cfg.data_preprocessor)
        with build_errors_named('config', everything=True):
            distiller = MODELS.build(model)
        distiller.init_weights()
        distiller = distiller.to(get_device()).train()
        first = first_batch(cfg, model.student.model)
        return _measured(distiller, first.data, _iterations(cfg.train_cfg, first.batches), first.missing, pretrained)


def _iterations(train_cfg: ConfigDict, epoch: int | None) -> int | None:
    if train_cfg.get('max_iters'):
        return train_cfg.max_iters
    return epoch and epoch * train_cfg.get('max_epochs', 1)


def _measured(
        distiller: ReviewDistiller, batch: dict, iterations: int | None, missing: str, pretrained: bool) -> DryStep:
    data = distiller.data_preprocessor(batch, training=True)
    parameters = [parameter for parameter in distiller.student.parameters() if parameter.requires_grad]

    def alone() -> dict:
        return distiller.student(**data, mode='loss')

    def together() -> dict:
        return distiller(**data, mode='loss')

    kept_alone, taken_alone, _ = _run(distiller, alone)
    own = _gradient_norm(parameters)
    kept, taken, losses = _run(distiller, together)
    distiller.zero_grad()
    distilled = [value for name, value in together().items() if name in ('loss_distill', 'loss_logit')]
    sum(distilled).backward()
    found = DryStep(
        losses=losses, own_gradient=own, distill_gradient=_gradient_norm(parameters), seconds=taken,
        seconds_alone=taken_alone, bytes_kept=kept, bytes_kept_alone=kept_alone, iterations=iterations,
        image=tuple(images_of(data).shape), missing=missing, pretrained=pretrained)
    wrong = [name for name, value in losses.items() if not torch.tensor(value).isfinite()]
    wrong += [f'the gradient of {name}' for name, value in (
        ("the student's own losses", own), ('the distillation', found.distill_gradient))
        if not torch.tensor(value).isfinite()]
    if wrong:
        raise ConfigError(f'the first step is not finite: {", ".join(wrong)}; nothing was written')
    return found


def _run(distiller: ReviewDistiller, step: Callable[[], dict]) -> tuple[int, float, dict[str, float]]:
    """Bytes kept, seconds and losses of a step; a short one is timed in a second run."""
    for _ in range(2):
        distiller.zero_grad()
        _synchronize(distiller)
        start = time.perf_counter()
        kept, losses = bytes_kept(step, distiller.parameters())
        distiller.parse_losses(losses)[0].backward()
        _synchronize(distiller)
        taken = time.perf_counter() - start
        if taken > _SHORT_STEP:
            break
    return kept, taken, {name: float(_total(value)) for name, value in losses.items() if name != 'distill_weight'}


def _total(value: Tensor | list[Tensor]) -> Tensor:
    return sum(part.mean() for part in value) if isinstance(value, (list, tuple)) else value.detach().mean()


def _gradient_norm(parameters: list[nn.Parameter]) -> float:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return float(torch.stack([gradient.norm() for gradient in gradients]).norm()) if gradients else 0.0


def _synchronize(model: nn.Module) -> None:
    device = next(model.parameters()).device
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def _ratio(value: float, base: float) -> str:
    return f'{value / base:.2f}' if base else 'infinitely many'


def _duration(seconds: float) -> str:
    for unit, length in (('days', 86400), ('hours', 3600), ('minutes', 60)):
        if seconds >= 2 * length:
            return f'{seconds / length:.1f} {unit}'
    return f'{seconds:.0f} seconds'
