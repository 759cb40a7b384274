"""Rounding errors of the review part of a training step, against double precision."""

import copy
from collections.abc import Mapping

import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmreviewkd.models import HierarchicalContextLoss, ReviewConnector
from mmreviewkd.models.distillers.comparison import distillation_loss

from .cases import PAIRS, PYRAMIDS, pair_of_config
from .steps import FORMATS, built, pyramid, textbook_of
from .textbook import TextbookLoss

# What the fast path promises: the largest error of any gradient, relative to the largest value of that gradient.
PROMISE = 1e-4


def rounding_of(name: str, device: torch.device) -> dict[str, dict]:
    """Compare the gradients of connector and distillation loss with those in double precision.

    The features are those of the pair's first training step, with random weights, or those of the pyramid.

    Args:
        name (str): A pair or pyramid of :mod:`.cases`, or the path of a config.
        device (torch.device): Where to run.

    Returns:
        dict[str, dict]: For textbook and ours in both memory formats, ``error``, the largest error of a gradient of a
        feature or parameter, relative to the largest value of that gradient, and ``gradient``, its name.
    """
    return errors_of(*_review_part(name, device))


def errors_of(connector: ReviewConnector, students: list[Tensor], teachers: list[Tensor]) -> dict[str, dict]:
    """Compare the gradients of a connector and HCL on given features; see :func:`rounding_of`.

    Args:
        connector (ReviewConnector): The connector.
        students (list[Tensor]): The student's features, ``[N, C_k, h_k, w_k]`` per level.
        teachers (list[Tensor]): The teacher's features, ``[N, O_k, H_k, W_k]`` per level.
    """
    textbook = textbook_of(connector).train()
    exact = _gradients(textbook.double(), TextbookLoss(), students, teachers, torch.contiguous_format)
    textbook = textbook_of(connector).train()
    rows = {}
    for memory_format in FORMATS:
        for what, module, loss in (
                ('textbook', textbook, TextbookLoss()), ('ours', connector, HierarchicalContextLoss())):
            found = _gradients(module, loss, students, teachers, FORMATS[memory_format])
            rows[f'{what}, {memory_format}'] = worst(found, exact)
    return rows


def worst(found: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> dict:
    """The largest error among gradients, each relative to the largest value of the exact one.

    Args:
        found (Mapping[str, Tensor]): Gradients by name.
        exact (Mapping[str, Tensor]): The same gradients in double precision.

    Returns:
        dict: ``error`` and ``gradient``, the name.
    """
    errors = {
        name: ((found[name].double() - value).abs().max() / value.abs().max()).item()
        for name, value in exact.items() if value.any()}
    gradient = max(errors, key=errors.get)
    return dict(error=errors[gradient], gradient=gradient)


def _review_part(name: str, device: torch.device) -> tuple[nn.Module, list[Tensor], list[Tensor]]:
    """The connector, and the features of student and teacher that it is trained with."""
    if name in PYRAMIDS:
        return pyramid(PYRAMIDS[name], device)
    pair = PAIRS[name] if name in PAIRS else pair_of_config(name)
    init_default_scope(pair.scope)
    inputs, samples = pair.batch(device)
    model, seen = built(pair.distiller(), device, optimize=True), {}
    # A copy, because the run below updates its running statistics.
    connector = copy.deepcopy(model.connector)
    with (model.connector.register_forward_pre_hook(lambda _, arguments: seen.update(students=arguments[0])),
          model.distill_loss.register_forward_pre_hook(lambda _, arguments: seen.update(teachers=arguments[1]))):
        model.loss(inputs, samples)
    return connector, [f.detach() for f in seen['students']], [f.detach() for f in seen['teachers']]


def _gradients(
        connector: nn.Module, loss: nn.Module, students: list[Tensor], teachers: list[Tensor],
        memory_format: torch.memory_format) -> dict[str, Tensor]:
    """The gradients of the features and of the connector's parameters, by name."""
    connector = copy.deepcopy(connector).to(memory_format=memory_format)
    dtype = next(connector.parameters()).dtype
    features = [f.to(dtype).clone(memory_format=memory_format).requires_grad_() for f in students]
    targets = [t.to(dtype).contiguous(memory_format=memory_format) for t in teachers]
    distillation_loss(connector, loss, features, targets).backward()
    return {
        **{f'feature {level}': feature.grad for level, feature in enumerate(features)},
        **{name: parameter.grad for name, parameter in connector.named_parameters()}}
