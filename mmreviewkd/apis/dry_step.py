"""Measure losses, gradients, time and memory of one training step, without changing the model."""

import contextlib
import copy
import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn

from mmreviewkd.models import ReviewDistiller
from mmreviewkd.utils.config import without_pretrained
from mmreviewkd.utils.config_errors import build_errors_named
from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.kept_bytes import bytes_kept
from mmreviewkd.utils.quiet import only_warnings_logged
from mmreviewkd.utils.random import preserved_random_state

from .made_up_data import made_up_data

# Messages of mmpretrain's data sets in a RuntimeError if files are missing.
_MISSING = ('cannot find', 'found no', 'not found', 'no such file')
# A step that took less time is run again, because the first run includes one-time costs.
_SHORT_STEP = 5.0


class NoBatchError(ConfigError):
    """Raised if the training pipeline yields no batch, not even from made-up data."""


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
    model = copy.deepcopy(cfg.model)
    model.student.model = without_pretrained(model.student.model)
    pretrained = model.student.model != cfg.model.student.model
    scope = DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmengine')
    with preserved_random_state(), scope, only_warnings_logged():
        if cfg.get('data_preprocessor'):
            model.setdefault('data_preprocessor', cfg.data_preprocessor)
        with build_errors_named('config', everything=True):
            distiller = MODELS.build(model)
        distiller.init_weights()
        distiller = distiller.to(get_device()).train()
        batch, epoch, missing = _first_batch(cfg, model)
        return _measured(distiller, batch, _iterations(cfg.train_cfg, epoch), missing, pretrained)


def _first_batch(cfg: Config, model: ConfigDict) -> tuple[dict, int | None, str]:
    """The first batch, the batches of an epoch if they are known, and why the data are made up, if they are."""
    loader = copy.deepcopy(cfg.train_dataloader)
    loader.update(num_workers=0, persistent_workers=False)
    for key in ('prefetch_factor', 'timeout', 'multiprocessing_context'):
        loader.pop(key, None)
    _forbid_downloads(loader.dataset)
    try:
        with _pipeline_errors_named():
            built = Runner.build_dataloader(loader, seed=0)
            return next(iter(built)), len(built), ''
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(hint in str(error).lower() for hint in _MISSING):
            raise
        missing = _reason(error)
    batch_size = loader.get('batch_size') or loader.get('batch_sampler', {}).get('batch_size', 2)
    whole = model if model.student.model.get('data_preprocessor') else dict(model, cfg=cfg.get('data_preprocessor'))
    with made_up_data(loader, ConfigDict(whole), batch_size) as loader, _pipeline_errors_named(True):
        return next(iter(Runner.build_dataloader(loader, seed=0))), None, missing


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f'{error.strerror}: {str(error.filename)!r}'
    return ' '.join(str(error).partition(', ')[0].split())[:120]


@contextlib.contextmanager
def _pipeline_errors_named(everything: bool = False) -> Iterator[None]:
    """Turn errors of the data pipeline into a ConfigError, except those that mean missing files."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        if isinstance(error, (OSError, RuntimeError)) and not everything:
            raise
        message = ' '.join(str(error).split()) or 'no message'
        reason = f'{type(error).__name__}: {message:.300}'
        if everything:
            raise NoBatchError(f'the images are not here, and the pipeline takes no made-up ones: {reason}') from error
        raise ConfigError(f'train_dataloader: no batch can be made: {reason}') from error


def _forbid_downloads(dataset: ConfigDict) -> None:
    """Keep data sets such as mmpretrain's CIFAR100 from downloading their files."""
    kind = dataset.get('type')
    with DATASETS.switch_scope_and_registry(None) as registry:  # the library of the default scope
        cls = registry.get(kind) if isinstance(kind, str) else kind
    while inspect.isclass(cls) and cls is not object:
        if 'download' in inspect.signature(cls.__init__).parameters:
            dataset['download'] = False
            break
        cls = cls.__mro__[1]
    for part in [dataset.get('dataset'), *(dataset.get('datasets') or [])]:
        if isinstance(part, dict):
            _forbid_downloads(part)


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
        image=tuple(_images(data['inputs']).shape), missing=missing, pretrained=pretrained)
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


def _images(inputs: Tensor | dict) -> Tensor:
    return inputs if isinstance(inputs, Tensor) else next(iter(inputs.values()))


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
