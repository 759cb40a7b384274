"""Survey a model: find every module that outputs a feature, with its shape, stride and order."""

import copy
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.random import preserved_random_state

from .adapters.tokens_to_map import token_grid
from .entry import entries_of, run_entry
from .probe import images_for, sample_of
from .tap_path import without_keys

# Class, distillation and register tokens before the patches.
_MOST_EXTRA_TOKENS = 8


@dataclass(frozen=True)
class Feature:
    """A feature that a module outputs.

    Args:
        tap (str): The name by which it is tapped.
        module (str): The name of the module, as ``named_modules`` has it.
        path (str): The name as Python would write it.
        outputs (int): How many tensors the module returns.
        kind (str): 'map' ``[N, C, H, W]``, 'channels_last' ``[N, H, W, C]``, 'tokens' ``[N, L, C]`` or 'vector'
            ``[N, C]``.
        channels (int): Channels ``C``.
        size (tuple[int, int]): ``(H, W)``; ``(1, 1)`` for a vector.
        stride (float): Height of the image over the height of the map, rounded to a power of two if it is close to one.
        order (int): Position in the order in which the modules finish.
        type (str): The class of the module.
        composite (bool): Whether the module is made of other modules.
        num_extra_tokens (int): Leading tokens that belong to no patch. Defaults to 0.
        before_relu (str, optional): The tap of the same feature before the ReLU that ends the module. Defaults to None.
    """

    tap: str
    module: str
    path: str
    outputs: int
    kind: str
    channels: int
    size: tuple[int, int]
    stride: float
    order: int
    type: str
    composite: bool
    num_extra_tokens: int = 0
    before_relu: str | None = None

    def config(self) -> str | dict:
        """The feature as an entry of ``taps``, with its adapter if it needs one."""
        if self.kind == 'tokens':
            extra = dict(num_extra_tokens=self.num_extra_tokens) if self.num_extra_tokens else {}
            return dict(type='TokensToMap', tap=self.tap, **extra)
        if self.kind == 'channels_last':
            return dict(type='ChannelsLastToMap', tap=self.tap)
        return self.before_relu or self.tap


@dataclass(frozen=True)
class Survey:
    """The features of a model, in the order in which its modules finish.

    Args:
        features (tuple[Feature, ...]): The features; if a module is called several times, those of its last call.
        image (tuple[int, int, int]): ``(C, H, W)`` of the blank image.
        entry (str): The call of the model, one of :data:`~mmreviewkd.models.taps.entry.ENTRIES`.
    """

    features: tuple[Feature, ...]
    image: tuple[int, int, int]
    entry: str


def survey(model: nn.Module, side: int | None = None, example: Tensor | None = None) -> Survey:
    """Run a copy of a model once, in eval mode, and list the features that its modules output.

    Args:
        model (nn.Module): An MMEngine ``BaseModel``, or any module that is called with its images.
        side (int, optional): The side of the square blank image in pixels. Defaults to the first size that the model
            accepts.
        example (Tensor, optional): Images ``[1, C, H, W]`` to be used instead of a blank one. Defaults to None.

    Raises:
        ConfigError: If the model runs on none of the images.
    """
    errors = []
    with preserved_random_state(), torch.no_grad():
        model = copy.deepcopy(model).eval()
        calls = _watch(model)
        for image, entry in itertools.product(images_for(model, side, example), entries_of(model)):
            calls.clear()
            try:
                run_entry(model, image, [sample_of(image)], entry)
            except Exception as error:  # any error raised by the model's code means that it does not accept this image
                errors.append(error)
                if _reached_the_end_of_the_neck(model, calls):
                    return Survey(tuple(_features(model, calls, image)), tuple(image.shape[1:]), entry)
                continue
            return Survey(tuple(_features(model, calls, image)), tuple(image.shape[1:]), entry)
    reason = (str(errors[0]).strip() or type(errors[0]).__name__).splitlines()[0]
    advice = '' if isinstance(model, BaseModel) else '; give a batch that it accepts as `example`'
    raise ConfigError(
        f'{type(model).__name__} could not be run on a blank image to find its features ({reason}){advice}')


@dataclass(frozen=True)
class _Call:
    module: str
    value: object
    order: int


def _watch(model: nn.Module) -> dict[str, _Call]:
    """Record the last output of every module by name, in the order in which the modules finish."""
    calls: dict[str, _Call] = {}
    count = itertools.count()

    def watch(name: str, module: nn.Module) -> None:
        def keep(module: nn.Module, args: tuple, output: object) -> None:
            calls.pop(name, None)
            calls[name] = _Call(name, output, next(count))

        module.register_forward_hook(keep)

    for name, module in model.named_modules():
        if name:
            watch(name, module)
    return calls


def _reached_the_end_of_the_neck(model: nn.Module, calls: dict[str, _Call]) -> bool:
    """Whether the model failed only in its head, which no tap needs."""
    last = 'neck' if isinstance(getattr(model, 'neck', None), nn.Module) else 'backbone'
    return last in calls


def _features(model: nn.Module, calls: dict[str, _Call], image: Tensor) -> Iterator[Feature]:
    modules = dict(model.named_modules())
    relus = [
        call for name, call in calls.items() if isinstance(modules[name], (nn.ReLU, nn.ReLU6))
        and isinstance(call.value, Tensor)]
    for name, call in calls.items():
        module = modules[name]
        path = _as_path(model, name)
        composite = next(module.children(), None) is not None
        elements = list(_elements(call.value))
        several = len(elements) > 1
        for index, value in elements:
            described = _describe(value, image)
            if described is None:
                continue
            kind, channels, size, extra = described
            relu = next((
                other for other in reversed(relus)
                if composite and kind == 'map' and not several and other.value is value
                and other.module.startswith(f'{name}.')), None)
            yield Feature(
                tap=path + (f':output{index}' if several else ''), module=name, path=path, outputs=len(elements),
                kind=kind, channels=channels, size=size, stride=_stride(image.shape[2], size[0]), order=call.order,
                type=type(module).__name__, composite=composite, num_extra_tokens=extra,
                before_relu=relu and f'{_as_path(model, relu.module)}:input')


def _elements(value: object, index: str = '') -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield index, value
    elif isinstance(value, (tuple, list, Mapping)):
        for i, item in enumerate(without_keys(value)):
            yield from _elements(item, f'{index}[{i}]')


def _describe(value: Tensor, image: Tensor) -> tuple[str, int, tuple[int, int], int] | None:
    """Kind, channels, size and number of extra tokens of a value; None if it is no feature of one image."""
    if len(value) != len(image) or 0 in value.shape:
        return None
    if value.dim() == 2:
        return 'vector', value.shape[1], (1, 1), 0
    if value.dim() == 4:
        _, first, second, third = value.shape
        if second != third and first == second:
            return 'channels_last', third, (first, second), 0
        return ('map', first, (second, third), 0) if second == third else None
    if value.dim() == 3:
        for extra in range(_MOST_EXTRA_TOKENS + 1):
            grid = token_grid(value.shape[1] - extra, tuple(image.shape[-2:]))
            if grid and grid[0] > 1:
                return 'tokens', value.shape[2], grid, extra
    return None


def _stride(image: int, size: int) -> float:
    ratio = image / size
    power = 2**round(math.log2(ratio)) if ratio >= 1 else ratio
    return float(power) if size in (image // power, -(-image // power)) else ratio


def _as_path(model: nn.Module, name: str) -> str:
    """A module's name as Python would write it: ``backbone.layer1.2.relu`` as ``backbone.layer1[-1].relu``."""
    path, owner = '', model
    for step in name.split('.'):
        if isinstance(owner, (nn.Sequential, nn.ModuleList)) and re.fullmatch(r'\d+', step):
            path += '[-1]' if int(step) == len(owner) - 1 else f'[{step}]'
        else:
            path += f'.{step}' if path else step
        owner = owner._modules[step]
    return path
