"""The parts of a distillation beside its two networks: connector and losses, built for the levels of a pair."""

import contextlib
import inspect
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.probe import Probe
from mmreviewkd.models.taps.recording import Recording
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import component
from mmreviewkd.utils.errors import ConfigError, described

from .build_warnings import pair_warnings
from .comparison import compared_levels
from .compiled_review import CompiledReview

# The packages of components that a config may name by mistake; errors in a user's own ones are for the user to trace.
_PUBLISHED = ('mmreviewkd', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'mmpose', 'mmdet3d', 'mmrazor', 'torch')


def check_parts(
        connector: dict | None, distill_loss: dict | None, logit_loss: dict | None,
        logits: dict[str, str | None]) -> None:
    """Check the config dicts of the parts before anything is built.

    Args:
        connector (dict, optional): The connector.
        distill_loss (dict, optional): The loss between features.
        logit_loss (dict, optional): The loss between logits.
        logits (dict[str, str]): The taps of the logits of 'student' and 'teacher'; None for no tap.

    Raises:
        ConfigError: If a part is no dict of a component, there is no loss, or a loss between logits lacks their taps.
    """
    for name, part in dict(connector=connector, distill_loss=distill_loss, logit_loss=logit_loss).items():
        component(part, name)
    for name, tap in logits.items():
        if (logit_loss is None) != (tap is None):
            raise ConfigError(
                f"logit_loss and {name}.logits belong together: {name}=dict(..., logits='head.fc') names the module "
                'that gives the logits')


def build_parts(
        student: Probe, teacher: Probe, connector: dict | None, distill_loss: dict | None,
        logit_loss: dict | None) -> dict[str, nn.Module | None]:
    """Build the connector and the losses for the levels of a pair, whose probable mistakes are logged.

    Args:
        student (Probe): The student's levels, fine to coarse, with the logits behind them if there is a loss for these.
        teacher (Probe): The teacher's levels.
        connector (dict, optional): The connector; its channels are inferred. None compares the features directly.
        distill_loss (dict, optional): The loss between the connector's outputs and the teacher's features.
        logit_loss (dict, optional): The loss between logits.

    Returns:
        dict[str, nn.Module or None]: ``connector``, ``distill_loss`` and ``logit_loss``.

    Raises:
        ConfigError: If the levels of the two do not fit each other or the losses, or a part cannot be built.
    """
    if not (distill_loss or logit_loss):
        raise ConfigError('distill_loss and logit_loss are both None, so nothing would be distilled')
    if len(student.names) != len(teacher.names):
        raise ConfigError(
            f'the taps give {len(student.names)} levels of the student but {len(teacher.names)} of the teacher; both '
            f'need the same, fine to coarse:\n{both_tables(student, teacher)}')
    levels = len(student.names) - bool(logit_loss)
    for finding in pair_warnings(student, teacher, levels):
        print_log(finding, 'current', logging.WARNING)
    if bool(levels) != bool(distill_loss):
        raise ConfigError(
            f'distill_loss is {distill_loss!r} but student.taps and teacher.taps name {levels} levels; give both or '
            'neither')
    if logit_loss:
        _check_logits(student, teacher)
    built: dict[str, nn.Module | None] = dict(connector=None)
    if levels and connector:
        built['connector'] = _build_part(
            connector, 'connector', in_channels=student.channels[:levels], out_channels=teacher.channels[:levels])
    built['distill_loss'] = _build_part(distill_loss, 'distill_loss') if distill_loss else None
    built['logit_loss'] = _build_part(logit_loss, 'logit_loss') if logit_loss else None
    return built


def distillation_losses(
        connector: nn.Module | None, distill_loss: nn.Module | None, logit_loss: nn.Module | None,
        features: Sequence[Tensor], targets: Sequence[Tensor], warmup: float | Tensor = 1.0,
        classes: Tensor | None = None, review: CompiledReview | None = None
) -> tuple[dict[str, Tensor], Sequence[Tensor], Sequence[Tensor]]:
    """Compute the distillation losses of a batch.

    Args:
        connector (nn.Module, optional): The connector.
        distill_loss (nn.Module, optional): The loss between features.
        logit_loss (nn.Module, optional): The loss between logits, which are then the last level.
        features (Sequence[Tensor]): The student's levels, ``[N, C_k, h_k, w_k]``, fine to coarse.
        targets (Sequence[Tensor]): The teacher's levels, ``[N, O_k, H_k, W_k]``.
        warmup (float or Tensor): Factor of the loss between features. Defaults to 1.0.
        classes (Tensor, optional): The classes of the images, ``[N]`` or ``[N, classes]``, for a ``logit_loss`` that
            needs them. Defaults to None.
        review (CompiledReview, optional): Computes connector and loss between features together. Defaults to None.

    Returns:
        tuple[dict[str, Tensor], Sequence[Tensor], Sequence[Tensor]]: ``loss_logit`` and ``loss_distill``, as far as
        there are such losses, scalars; and what :func:`compared_levels` gives, or with ``review`` the levels.

    Raises:
        ConfigError: If the connector or a loss is one of another kind, which cannot be computed from what it is given.
    """
    losses = {}
    if logit_loss is not None:
        more = {} if classes is None else dict(targets=classes)
        with _part_errors_named('logit_loss', logit_loss, "the logits of student and teacher, [N, classes] each"):
            losses['loss_logit'] = logit_loss(_logits(features[-1]), _logits(targets[-1]), **more)
        features, targets = features[:-1], targets[:-1]
    if review is not None:
        with _part_errors_named('connector', connector, "the student's features and the teacher's, compiled"):
            losses['loss_distill'] = warmup * review(connector, distill_loss, features, targets)
    elif distill_loss is not None:
        with _part_errors_named(
                'connector', connector, "the student's features, one per level, and the sizes of the teacher's"):
            features, targets = compared_levels(connector, distill_loss, features, targets)
        given = 'the features of student and teacher' if connector is None else \
            "the connector's features and the teacher's"
        with _part_errors_named('distill_loss', distill_loss, f'{given}, one per level each'):
            losses['loss_distill'] = warmup * distill_loss(features, targets)
    return losses, features, targets


@contextlib.contextmanager
def _part_errors_named(key: str, part: nn.Module | None, given: str) -> Iterator[None]:
    """Turn errors of a published component, which is probably one of another kind, into a ConfigError.

    The errors of a user's own component stay as they are, with their traceback.
    """
    try:
        yield
    except (ConfigError, torch.cuda.OutOfMemoryError):
        raise
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        # That memory or another process is missing is no fault of the config.
        elsewhere = isinstance(error, getattr(torch.distributed, 'DistError', ())) or 'allocate memory' in str(error)
        if elsewhere or part is None or type(part).__module__.partition('.')[0] not in _PUBLISHED:
            raise
        raise ConfigError(
            f'{key} ({type(part).__name__}) fails on what it is given, {given}: {described(error)}') from error


def needs_classes(logit_loss: nn.Module | None) -> bool:
    """Whether a loss between logits takes the classes of the images, as ``targets``."""
    return logit_loss is not None and 'targets' in inspect.signature(logit_loss.forward).parameters


def check_one_map_per_image(recording: Recording, features: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
    """Check that student and teacher give as many maps.

    Args:
        recording (Recording): The recording of the student's levels, for the message.
        features (Sequence[Tensor]): The student's levels, ``[N, C_k, h_k, w_k]``.
        targets (Sequence[Tensor]): The teacher's levels, ``[N, O_k, H_k, W_k]``.

    Raises:
        ConfigError: If the numbers ``N`` differ.
    """
    for level, (feature, target) in enumerate(zip(features, targets)):
        if len(feature) != len(target):
            name = recording.levels()[level][0]
            raise ConfigError(
                f'student.taps: {name!r} gives {len(feature)} maps in training where the teacher gives {len(target)}; '
                'a level has one map per image, so a module of several branches (TridentNet) or regions cannot be '
                'tapped')


def both_tables(student: Probe, teacher: Probe) -> str:
    """The levels of both, one a line."""
    return '\n'.join(['student', *(f'  {line}' for line in student.table()),
                      'teacher', *(f'  {line}' for line in teacher.table())])


def _check_logits(student: Probe, teacher: Probe) -> None:
    if student.channels[-1] != teacher.channels[-1]:
        raise ConfigError(
            f'logit_loss compares class by class, but student.logits ({student.names[-1]!r}) gives '
            f'{student.channels[-1]} classes and teacher.logits ({teacher.names[-1]!r}) {teacher.channels[-1]}; '
            'distil features alone, or use a teacher of the same classes')
    if student.strides[-1] != teacher.strides[-1]:
        raise ConfigError(
            f'logit_loss compares maps pixel by pixel, but student.logits ({student.names[-1]!r}) has stride '
            f'{student.strides[-1]:g} and teacher.logits ({teacher.names[-1]!r}) {teacher.strides[-1]:g}; tap both '
            'at the same stride, or distil features alone')


def _build_part(config: dict, where: str, **inferred: Any) -> nn.Module:
    kind = config['type']
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    wanted = inspect.signature(cls).parameters if cls is not None else ()
    defaults = {key: value for key, value in inferred.items() if key in wanted}
    for key, value in defaults.items():
        if config.get(key, value) != value:
            raise ConfigError(
                f'{where}.{key} is {config[key]!r}, but the taps give {value}; leave it out, it is inferred')
    return build_model({'_scope_': 'mmreviewkd', **defaults, **config}, where)


def _logits(level: Tensor) -> Tensor:
    """``[N, classes]`` of what a tap gives as ``[N, classes, 1, 1]``; maps as they are."""
    return level.flatten(1) if level.shape[-2:] == (1, 1) else level
