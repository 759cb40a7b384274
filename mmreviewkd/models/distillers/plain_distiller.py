"""The distiller of plain PyTorch: two modules and any training loop, without configs."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmreviewkd.models.taps.feature_taps import FeatureTaps
from mmreviewkd.models.taps.probe import probe
from mmreviewkd.models.taps.proposal import propose_taps
from mmreviewkd.models.taps.recording import Recording
from mmreviewkd.utils.checks import choice, integers, number, tap_list
from mmreviewkd.utils.errors import ConfigError, check_keys
from mmreviewkd.utils.finite import check_finite
from mmreviewkd.utils.random import preserved_random_state

from .batch_errors import batch_errors_named
from .frozen_network import FrozenNetwork
from .review_parts import (
    both_tables,
    build_parts,
    check_one_map_per_image,
    check_parts,
    distillation_losses,
    needs_classes,
)
from .state_dict_hooks import isolate_state_dict_hooks

_WRAPPERS = (nn.parallel.DistributedDataParallel, nn.DataParallel)


class PlainDistiller(nn.Module):
    """Runs a student once, and compares its features with those of a frozen teacher; :func:`distiller` builds it.

    Its parameters are those of the student and of the connector, and so is its ``state_dict``, with the number of
    training steps. The teacher is in none of them, and moves and casts with it. The student stays a module of its own:
    nothing is registered on it outside of :meth:`forward`.

    Args:
        student (nn.Module): The student.
        frozen_teacher (FrozenNetwork): The teacher.
        taps (FeatureTaps): The student's taps.
        parts (dict[str, nn.Module or None]): Its ``connector``, ``distill_loss`` and ``logit_loss``.
        warmup_iters (int): The number of training steps over which the loss between features grows. Defaults to 0.
        run (Callable, optional): Runs the student, called with it and its arguments, such as a compiled function.
            Defaults to None, a plain call.

    Attributes:
        iterations (Tensor): The number of training steps so far, an integer scalar.
    """

    def __init__(
            self, student: nn.Module, frozen_teacher: FrozenNetwork, taps: FeatureTaps,
            parts: dict[str, nn.Module | None], warmup_iters: int = 0, run: Callable | None = None) -> None:
        super().__init__()
        isolate_state_dict_hooks(student)
        self.student = student
        self.connector, self.distill_loss, self.logit_loss = (
            parts[name] for name in ('connector', 'distill_loss', 'logit_loss'))
        self.frozen_teacher = frozen_teacher
        self.taps = taps
        self.warmup_iters = warmup_iters
        self.register_buffer('iterations', torch.zeros((), dtype=torch.long, device=next(student.parameters()).device))
        self._run = run or _run

    def forward(self, images: Tensor, /, *args: Any, **kwargs: Any) -> tuple[Any, Tensor]:
        """Run the student once, and compute the distillation loss.

        Args:
            images (Tensor): The batch, ``[N, C, H, W]``, or what the two models take instead, such as a list of images;
                the first argument of the student, and the only one of the teacher.
            *args: Further arguments of the student.
            **kwargs: Further arguments of the student.

        Returns:
            tuple[Any, Tensor]: The student's output, and the weighted distillation loss, a scalar.

        Raises:
            ConfigError: If the images are too small for a level, or the student was moved without the distiller, or
                compiled in place without it.
        """
        self._check_devices()
        with batch_errors_named(images, 'teacher'):
            targets = self.frozen_teacher.levels(images)
        with batch_errors_named(images, 'student'):
            with self.taps.record(self.student, images) as recording:
                output = self._run(self.student, images, *args, **kwargs)
            self._check_compiled(recording)
            features = recording.features()
            check_one_map_per_image(recording, features, targets)
            losses, *_ = distillation_losses(
                self.connector, self.distill_loss, self.logit_loss, features, targets, self._warmup_factor())
        if self.training:
            self.iterations += 1
        return output, sum(losses.values())

    def _warmup_factor(self) -> float | Tensor:
        return (self.iterations / self.warmup_iters).clamp(max=1) if self.warmup_iters else 1.0

    def _check_devices(self) -> None:
        student, teacher = (next(model.parameters()).device for model in (self.student, self.frozen_teacher.model))
        if student != teacher:
            raise ConfigError(
                f'the student is on {student}, but its teacher and connector are on {teacher}; move the distiller, '
                f"distiller(student, teacher).to('{student}'), not the student alone")

    def _check_compiled(self, recording: Recording) -> None:
        if recording.complete or not any(
                getattr(module, '_compiled_call_impl', None) for module in self.student.modules()):
            return
        raise ConfigError(
            'student was compiled in place, by student.compile(), and ran before its taps were watched, so its graph '
            'gives no features; give torch.compile(student) to the distiller, or call the distiller first')

    def _apply(self, fn: Callable, *args: Any, **kwargs: Any) -> nn.Module:
        self.frozen_teacher.apply(lambda model: model._apply(fn, *args, **kwargs))
        return super()._apply(fn, *args, **kwargs)


def distiller(
        student: nn.Module,
        teacher: nn.Module,
        taps: str | Sequence[str | dict] | Mapping[str, Sequence[str | dict]] = 'auto',
        loss_weight: float | None = None,
        warmup_iters: int = 0,
        connector: dict | None = dict(type='ReviewConnector'),  # noqa: B006
        distill_loss: dict | None = dict(type='HierarchicalContextLoss'),  # noqa: B006
        logits: str | Mapping[str, str] | None = None,
        logit_loss: dict | None = None,
        autocast: str | None = None,
        image_shape: Sequence[int] | None = None) -> PlainDistiller:
    """Build a distiller from two modules, for a training loop in plain PyTorch.

    In a training step, ``output, distillation = review(images)`` runs the student once and gives its output and the
    distillation loss, which is added to the student's own. The optimizer gets ``review.parameters()``: the student's
    and the connector's.

    Args:
        student (nn.Module): The student, on the device and of the dtype of the training; it is trained as it is.
        teacher (nn.Module): The trained teacher. A frozen copy of it is used.
        taps (str, Sequence or Mapping): ``'auto'``, which proposes the taps of the pair; a list of taps that both
            models have, see :class:`FeatureTaps`; or ``dict(student=[...], teacher=[...])``. Defaults to 'auto'.
        loss_weight (float, optional): Factor of the distillation loss between features. Defaults to None, that of the
            loss.
        warmup_iters (int): The number of training steps over which the weight grows linearly from 0. Defaults to 0.
        connector (dict, optional): The connector and its settings; its channels are inferred. None compares the
            features directly. Defaults to ``dict(type='ReviewConnector')``.
        distill_loss (dict, optional): The loss between features. Defaults to ``dict(type='HierarchicalContextLoss')``.
        logits (str or Mapping, optional): For a ``logit_loss``, the tap of the logits of both models, or
            ``dict(student=..., teacher=...)``. Defaults to None.
        logit_loss (dict, optional): The loss between logits, such as ``dict(type='LogitDistillationLoss')``. Defaults
            to None.
        autocast (str, optional): The precision that the teacher runs in, 'float16' or 'bfloat16', independent of the
            student's. Defaults to None.
        image_shape (Sequence[int], optional): ``(C, H, W)`` of images that both models accept, by which channels are
            inferred and taps proposed. Defaults to None: a usual shape.

    Returns:
        PlainDistiller: The distiller.

    Raises:
        ConfigError: If an argument cannot work; the message names it.
        TapError: If a tap names no module or gives no feature.
        CheckpointError: If weights of the teacher are not finite.
    """
    for name, model in dict(student=student, teacher=teacher).items():
        _check_model(model, name)
    student, run = _uncompiled(student)
    teacher, _ = _uncompiled(teacher)
    check_finite(teacher, 'teacher')
    number(warmup_iters, 'warmup_iters', at_least=0, integer=True)
    choice(autocast, [None, 'float16', 'bfloat16'], 'autocast')
    image = None if image_shape is None else integers(image_shape, 'image_shape', at_least=1)
    if (logits is None) != (logit_loss is None):
        raise ConfigError("logit_loss and logits belong together: logits='fc' names the module of both models that "
                          "gives the logits, dict(student='fc', teacher='head') one of each")
    logits = _of_both(logits, 'logits')
    check_parts(connector, distill_loss, logit_loss, logits)
    distill_loss = _weighted(distill_loss, loss_weight)
    with preserved_random_state():
        taps = _taps(student, teacher, taps, logits, distill_loss is not None, image)
        seen = [probe(model, tap, image) for model, tap in zip((student, teacher), taps)]
        parts = build_parts(*seen, connector, distill_loss, logit_loss)
        if needs_classes(parts['logit_loss']):
            raise ConfigError(
                f'logit_loss={type(parts["logit_loss"]).__name__} needs the classes of the images, which the distiller '
                'is not given; take LogitDistillationLoss')
        frozen = FrozenNetwork(
            copy.deepcopy(teacher), taps[1], seen[1], student, autocast and getattr(torch, autocast))
    print_log(f'Levels of the review, fine to coarse:\n{both_tables(*seen)}', 'current')
    parameter = next(student.parameters())
    return PlainDistiller(
        student, frozen, taps[0],
        {name: None if part is None else part.to(parameter.device, parameter.dtype) for name, part in parts.items()},
        warmup_iters, run)


def _run(model: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return model(*args, **kwargs)


def _check_model(model: object, name: str) -> None:
    if isinstance(model, _WRAPPERS):
        raise ConfigError(
            f'{name} is a {type(model).__name__}; give the module inside it, and wrap the distiller instead: '
            'DistributedDataParallel(distiller(student, teacher))')
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f'{name} must be a torch.nn.Module, but is {type(model).__name__}; configs are distilled by '
            "dict(type='mmreviewkd.ReviewDistiller')")
    if next(model.parameters(), None) is None:
        raise ConfigError(f'{name} is a {type(model).__name__} without parameters, from which nothing can be learned')


def _uncompiled(model: nn.Module) -> tuple[nn.Module, Callable]:
    """The module inside a compiled one, and the function that runs it, compiled with the same options.

    A graph that was compiled without hooks never calls them. This function has graphs of its own, which do.
    """
    if hasattr(model, '_orig_mod') and hasattr(model, 'dynamo_ctx'):
        return model._orig_mod, model.dynamo_ctx(_run)
    return model, _run


def _of_both(value: Any, name: str) -> dict[str, Any]:
    """The value of 'student' and of 'teacher', where one value stands for both."""
    if not isinstance(value, Mapping):
        return dict(student=value, teacher=value)
    check_keys(dict(value), ['student', 'teacher'], name)
    for who in ('student', 'teacher'):
        if who not in value:
            raise ConfigError(f'{name} names {" and ".join(map(repr, value)) or "nothing"}, but not {who!r}')
    return dict(value)


def _weighted(distill_loss: dict | None, loss_weight: float | None) -> dict | None:
    if loss_weight is None:
        return distill_loss
    number(loss_weight, 'loss_weight', at_least=0)
    if distill_loss is None:
        raise ConfigError(f'loss_weight={loss_weight} is the weight of distill_loss, which is None')
    if 'loss_weight' in distill_loss:
        raise ConfigError(f'loss_weight={loss_weight} and distill_loss.loss_weight={distill_loss["loss_weight"]} are '
                          'both given; keep one')
    return {**distill_loss, 'loss_weight': loss_weight}


def _taps(
        student: nn.Module, teacher: nn.Module, taps: object, logits: dict[str, str | None], features: bool,
        image: tuple[int, ...] | None) -> tuple[FeatureTaps, FeatureTaps]:
    if taps == 'auto' and not features:
        taps = []
    if taps == 'auto':
        if image is not None and len(image) != 3:
            raise ConfigError(
                f"taps='auto' looks for maps of images (C, H, W), but image_shape is {image}; name the taps")
        proposal = propose_taps(student, teacher, image)
        print_log(f"Levels that taps='auto' proposes, {proposal.heading}:\n" + '\n'.join(proposal.table()), 'current')
        taps = dict(student=proposal.student_taps, teacher=proposal.teacher_taps)
    if isinstance(taps, str):
        raise ConfigError(f"taps must be 'auto', a list of module names such as ['layer1', 'layer2'], or "
                          f'dict(student=[...], teacher=[...]), but is {taps!r}')
    taps = _of_both(taps, 'taps')
    return tuple(
        FeatureTaps(tap_list(taps[who], f'{who}.taps', logits[who]), f'{who}.taps') for who in ('student', 'teacher'))
