"""The training steps that the benchmark compares, one per row of its tables."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmreviewkd.models import HierarchicalContextLoss, ReviewConnector
from mmreviewkd.models.distillers.comparison import distillation_loss
from mmreviewkd.models.distillers.compiled_review import CompiledReview
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import ConfigError

from .cases import PAIRS, PYRAMIDS, Batch, Pair, pair_of_config
from .textbook import TextbookConnector, TextbookLoss

# 'tf32' lets a GPU round the factors of products and convolutions to 10 bits.
PRECISIONS = {'fp32': None, 'tf32': None, 'fp16': torch.float16, 'bf16': torch.bfloat16}
FORMATS = {'NCHW': torch.contiguous_format, 'channels_last': torch.channels_last}
Step = Callable[[], Tensor]


def steps_of_pair(
        pair: Pair, device: torch.device, batch_size: int | None = None, compiled: bool = False) -> dict[str, Step]:
    """Build the steps of a pair by name, each with its own copy of the same initial weights.

    Args:
        pair (Pair): The pair.
        device (torch.device): Where to run.
        batch_size (int, optional): Images of a step; None for the pair's own. Defaults to None.
        compiled (bool): Whether to add steps with teacher, plain connector and HCL compiled by ``torch.compile``.
            Defaults to False.

    Returns:
        dict[str, Callable]: Steps; each runs a forward pass and returns the loss, a scalar.
    """
    init_default_scope(pair.scope)
    config, (inputs, samples) = pair.distiller(), pair.batch(device)
    if batch_size is not None:
        inputs, samples = _resized((inputs, samples), batch_size)

    def column(
            step: Callable, change: Callable = lambda model: model, memory_format: str = 'NCHW',
            optimize: bool = True, **settings: Any) -> Step:
        model = change(built({**config, **settings}, device, optimize)).to(memory_format=FORMATS[memory_format])
        return partial(step, model, inputs.contiguous(memory_format=FORMATS[memory_format]), samples)

    steps = {}
    for memory_format in FORMATS:
        steps[f'floor, {memory_format}'] = column(_floor, memory_format=memory_format, optimize=False)
        steps[f'textbook, {memory_format}'] = column(_distillation, _with_textbook, memory_format, optimize=False)
        steps[f'ours, {memory_format}'] = column(_distillation, memory_format=memory_format)
    ours = partial(column, _distillation, memory_format='channels_last')
    steps['ours, teacher as built'] = ours(optimize=False)
    steps['ours, connector plain'] = ours(partial(_with_connector, implementation='plain'))
    steps['ours, HCL as in the textbook'] = ours(_with_textbook_loss)
    steps['ours, with_cp'] = ours(partial(_with_connector, with_cp=True))
    for memory_format in FORMATS if compiled else ():
        steps[f'ours, compiled, {memory_format}'] = column(
            _distillation, memory_format=memory_format, compile=True,
            connector={'type': 'ReviewConnector', **config.get('connector', {}), 'implementation': 'plain'})
    return steps


def steps_of_pyramid(
        sizes: list[tuple[int, int]], device: torch.device, batch_size: int = 1,
        compiled: bool = False) -> dict[str, Step]:
    """Build the steps of connector and HCL alone, on features of a pyramid of 256 channels.

    Args:
        sizes (list[tuple[int, int]]): ``(H, W)`` of its levels, fine to coarse.
        device (torch.device): Where to run.
        batch_size (int): Images ``N``. Defaults to 1.
        compiled (bool): Whether to add steps with plain connector and HCL compiled. Defaults to False.

    Returns:
        dict[str, Callable]: Steps, as :func:`steps_of_pair` returns them.
    """
    connector, *maps = pyramid(sizes, device, batch_size=batch_size)

    def column(change: Callable, loss: nn.Module, memory_format: str, step: Callable = distillation_loss) -> Step:
        students, teachers = ([m.contiguous(memory_format=FORMATS[memory_format]) for m in side] for side in maps)
        changed = change(copy.deepcopy(connector)).to(memory_format=FORMATS[memory_format])
        return partial(step, changed, loss, [f.clone().requires_grad_() for f in students], teachers)

    hcl, steps = HierarchicalContextLoss(), {}
    for memory_format in FORMATS:
        steps[f'textbook, {memory_format}'] = column(textbook_of, TextbookLoss(), memory_format)
        steps[f'ours, {memory_format}'] = column(lambda model: model, hcl, memory_format)
    steps['ours, connector plain'] = column(partial(_with_connector, implementation='plain'), hcl, 'NCHW')
    steps['ours, HCL as in the textbook'] = column(lambda model: model, TextbookLoss(), 'NCHW')
    steps['ours, with_cp'] = column(partial(_with_connector, with_cp=True), hcl, 'NCHW')
    for memory_format in FORMATS if compiled else ():
        steps[f'ours, compiled, {memory_format}'] = column(
            partial(_with_connector, implementation='plain'), hcl, memory_format, CompiledReview({}))
    return steps


def steps_of(
        name: str, device: torch.device, batch_size: int | None = None, precision: str = 'fp32',
        compiled: bool = False) -> dict[str, Step]:
    """Build the steps of a pair or pyramid of :mod:`.cases` by its name, or of a config by its path.

    Args:
        name (str): A name or path.
        device (torch.device): Where to run.
        batch_size (int, optional): Images of a step, the case's own repeated; None for the case's own number. Defaults
            to None.
        precision (str): One of :data:`PRECISIONS`; ``'fp16'`` and ``'bf16'`` run under autocast. Defaults to 'fp32'.
        compiled (bool): Whether to add steps that ``torch.compile`` compiles. Defaults to False.

    Returns:
        dict[str, Callable]: Steps, as :func:`steps_of_pair` returns them.
    """
    if name in PYRAMIDS:
        steps = steps_of_pyramid(PYRAMIDS[name], device, batch_size or 1, compiled)
    else:
        steps = steps_of_pair(PAIRS[name] if name in PAIRS else pair_of_config(name), device, batch_size, compiled)
    dtype = PRECISIONS[precision]
    if dtype is None:
        return steps
    return {column: partial(_autocast, *step.args, function=step.func, dtype=dtype, device_type=device.type)
            for column, step in steps.items()}


def _autocast(*arguments: Any, function: Callable, dtype: torch.dtype, device_type: str) -> Tensor:
    with torch.autocast(device_type, dtype):
        return function(*arguments)


def _resized(batch: Batch, count: int) -> Batch:
    """Repeat or leave out the images ``[N, C, H, W]`` and samples of a batch, so that it has ``count`` of each."""
    inputs, samples = batch
    indices = [i % len(samples) for i in range(count)]
    return inputs[indices], [copy.deepcopy(samples[i]) for i in indices]


def pyramid(
        sizes: list[tuple[int, int]], device: torch.device, channels: int = 256,
        mid_channels: int = 256, batch_size: int = 1) -> tuple[ReviewConnector, list[Tensor], list[Tensor]]:
    """Make a connector and random features of student and teacher for a pyramid.

    Args:
        sizes (list[tuple[int, int]]): ``(H, W)`` of its levels, fine to coarse.
        device (torch.device): Where to run.
        channels (int): ``C``, of every level of student and teacher. Defaults to 256.
        mid_channels (int): Channels of the review path. Defaults to 256.
        batch_size (int): Images ``N``. Defaults to 1.

    Returns:
        tuple[ReviewConnector, list[Tensor], list[Tensor]]: The connector, and ``[N, C, H, W]`` per level of both.
    """
    torch.manual_seed(0)
    connector = ReviewConnector([channels] * len(sizes), [channels] * len(sizes), mid_channels).train().to(device)
    return connector, *([torch.randn(batch_size, channels, *size, device=device) for size in sizes] for _ in range(2))


def textbook_of(connector: ReviewConnector) -> TextbookConnector:
    """Build the textbook's connector with the weights of ours."""
    plain = TextbookConnector(
        [b.conv1[0].in_channels for b in connector.blocks], [b.conv2[0].out_channels for b in connector.blocks],
        connector.mid_channels)
    plain.load_state_dict(connector.state_dict(), strict=True)
    return plain.to(next(connector.parameters()).device)


def _floor(model: nn.Module, inputs: Tensor, samples: list) -> Tensor:
    """The teacher's inference and the student's own training, without connector and distillation loss."""
    with torch.no_grad():
        model.frozen_teacher.model.extract_feat(inputs)
    return _total(model.student(inputs, samples, mode='loss'))


def _distillation(model: nn.Module, inputs: Tensor, samples: list) -> Tensor:
    return _total(model.loss(inputs, samples))


def _total(losses: dict) -> Tensor:
    values = [value for name, value in losses.items() if 'loss' in name]
    return sum(v.mean() if isinstance(v, Tensor) else sum(item.mean() for item in v) for v in values)


def _with_textbook(model: nn.Module) -> nn.Module:
    model.connector = textbook_of(model.connector)
    return _with_textbook_loss(model)


def _with_textbook_loss(model: nn.Module) -> nn.Module:
    model.distill_loss = TextbookLoss(model.distill_loss.loss_weight)
    return model


def _with_connector(model: nn.Module, **settings: Any) -> nn.Module:
    for name, value in settings.items():
        setattr(getattr(model, 'connector', model), name, value)
    return model


def built(config: dict, device: torch.device, optimize: bool) -> nn.Module:
    """Build a distiller in training mode, with reproducible random weights; ``optimize`` as in its frozen teacher."""
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config))
    model.frozen_teacher.optimize = optimize  # the floor and the textbook must not profit from it
    model.init_weights()
    if model.compile_options is not None and not model.frozen_teacher.compiled:
        raise ConfigError('--compile: torch.compile does not work here, for the reason above; it needs a C++ compiler')
    return model.train().to(device)
