"""Optimizer groups of a distiller, equal to those of its student trained alone."""

import contextlib
import functools
from collections.abc import Iterator

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper, OptimWrapperDict
from torch import nn

from mmreviewkd.utils.errors import ConfigError

from .review_distiller import ReviewDistiller


def add_distiller_params(
        constructor: DefaultOptimWrapperConstructor, params: list[dict], distiller: ReviewDistiller) -> None:
    """Add the parameter groups of a distiller to an optimizer constructor's.

    The constructor groups the student's parameters under the names that they have without distillation, so that
    layer-wise learning rates, which parse these names, apply as usual. The parameters of the connector and the losses
    are named ``connector.*``, ``distill_loss.*`` and ``logit_loss.*``, and follow the general options of
    ``paramwise_cfg`` at the base learning rate: ``custom_keys={'connector': dict(lr_mult=2.0)}`` changes it.

    Args:
        constructor (DefaultOptimWrapperConstructor): The constructor that the config names.
        params (list[dict]): The list of parameter groups; extended in place.
        distiller (ReviewDistiller): The distiller.
    """
    plain = DefaultOptimWrapperConstructor(
        dict(constructor.optim_wrapper_cfg, optimizer=constructor.optimizer_cfg), constructor.paramwise_cfg)
    paramwise_cfg = constructor.paramwise_cfg
    constructor.paramwise_cfg = _with_student_names(paramwise_cfg, distiller.student)
    try:
        constructor.add_params(params, distiller.student)
    finally:
        constructor.paramwise_cfg = paramwise_cfg
    own: list[dict] = []
    for name, part in distiller.named_children():
        if name not in ('student', 'data_preprocessor'):  # the data preprocessor is also a child of the student
            plain.add_params(own, part, prefix=name)
    if any('param_names' in group for group in params):  # torch requires names in all groups or in none
        names = {id(parameter): name for name, parameter in distiller.named_parameters()}
        for group in own:
            group['param_names'] = [names[id(parameter)] for parameter in group['params']]
    params += own


def check_optimizer(distiller: ReviewDistiller, optim_wrapper: OptimWrapper | OptimWrapperDict) -> None:
    """Refuse to train a distiller some parts of which are in no optimizer, or that is trained by several optimizers.

    Constructors that are not derived from MMEngine's, or replace its ``__call__``, may leave the connector out.

    Args:
        distiller (ReviewDistiller): The distiller.
        optim_wrapper (OptimWrapper or OptimWrapperDict): What the config's constructor has built.

    Raises:
        ConfigError: If the connector would not be trained, or there are several optimizers.
    """
    if isinstance(optim_wrapper, OptimWrapperDict):
        names = list(optim_wrapper.keys())
        raise ConfigError(
            f'optim_wrapper builds {len(names)} optimizers ({", ".join(names)}), but student and connector '
            'are trained together in one step, by one optimizer')
    trained = {id(parameter) for group in optim_wrapper.param_groups for parameter in group['params']}
    missing = [name for name, parameter in distiller.named_parameters()
               if parameter.requires_grad and id(parameter) not in trained and not name.startswith('student.')]
    if missing:
        raise ConfigError(
            f'optim_wrapper.constructor leaves {len(missing)} parameters out of the optimizer, such as {missing[0]!r}, '
            'which would keep their random values; derive it from DefaultOptimWrapperConstructor and let its '
            '`add_params` group the parameters')


def install() -> None:
    """Make MMEngine's optimizer constructors, and those derived from them, call :func:`add_distiller_params`.

    MMEngine calls the constructor of ``optim_wrapper.constructor`` with the whole model, and offers no way for a model
    to group its own parameters. Models other than a :class:`ReviewDistiller` are grouped as before.
    """
    call = DefaultOptimWrapperConstructor.__call__
    if getattr(call, 'groups_distillers', False):
        return

    @functools.wraps(call)
    def call_for_distillers(self: DefaultOptimWrapperConstructor, model: nn.Module) -> OptimWrapper:
        distiller = getattr(model, 'module', model)
        if not isinstance(distiller, ReviewDistiller):
            return call(self, model)
        with _grouping(self, distiller):
            return call(self, model)

    call_for_distillers.groups_distillers = True
    DefaultOptimWrapperConstructor.__call__ = call_for_distillers


@contextlib.contextmanager
def _grouping(constructor: DefaultOptimWrapperConstructor, distiller: ReviewDistiller) -> Iterator[None]:
    add_params = constructor.add_params

    def add(params: list[dict], module: nn.Module, **kwargs: object) -> None:
        if module is distiller:
            add_distiller_params(constructor, params, distiller)
        else:
            add_params(params, module, **kwargs)

    constructor.add_params = add
    try:
        yield
    finally:
        del constructor.add_params


def _with_student_names(paramwise_cfg: dict, student: nn.Module) -> dict:
    """Custom keys without the prefix of the distiller's names, such as ``backbone`` for ``student.backbone``."""
    if 'custom_keys' not in paramwise_cfg or hasattr(student, 'student'):
        return paramwise_cfg
    keys = {'' if key == 'student' else key.removeprefix('student.'): value
            for key, value in paramwise_cfg['custom_keys'].items()}
    return {**paramwise_cfg, 'custom_keys': keys}
