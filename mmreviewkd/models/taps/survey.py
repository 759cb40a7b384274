"""Survey a model: find every module that outputs a feature, with its shape, stride and order."""

import copy
import itertools
import math
import re
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.random import preserved_random_state

from .adapters.tokens_to_map import token_grid
from .entry import entries_of, run_entry
from .probe import blank_images, sample_of
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
        entry (str): The call of the model, one of :func:`~mmreviewkd.models.taps.entry.entries_of`.
    """

    features: tuple[Feature, ...]
    image: tuple[int, int, int]
    entry: str


def survey(model: nn.Module, image: tuple[int, int, int] | None = None) -> Survey:
    """Run a copy of a model once, in eval mode, and list the features that its modules output.

    Args:
        model (nn.Module): An MMEngine ``BaseModel``, or any module that is called with its images.
        image (tuple[int, int, int], optional): ``(C, H, W)`` of the blank image, such as that of the training images.
            Defaults to the first of several usual shapes that the model accepts.

    Raises:
        ConfigError: If the model runs on none of the blank images.
    """
    errors = []
    with preserved_random_state(), torch.no_grad():
        model = copy.deepcopy(model)
        model.eval()
        watch = _Watch(model)
        # What a model without a backbone, such as one of timm, calls its features may leave out the pooled vector.
        entries = entries_of(model) if hasattr(model, 'backbone') else entries_of(model)[::-1]
        for inputs, entry in itertools.product(blank_images(model, image), entries):
            watch.restart(inputs)
            try:
                run_entry(model, inputs, [sample_of(inputs)], entry)
            except Exception as error:  # any error raised by the model's code means that it does not accept this image
                errors.append((watch.modules_run, entry == 'extract_feat', error))
                if not watch.reached_the_end_of_the_neck():
                    continue
            return Survey(_told_apart(watch, model, inputs, entry), tuple(inputs.shape[1:]), entry)
    *_, error = max(errors, key=lambda failed: failed[:2])  # that of the attempt which got furthest
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    size = f'a blank image of {" x ".join(map(str, image))}' if image else 'a blank image'
    advice = '' if isinstance(model, BaseModel) or image else '; give the image_shape that it accepts'
    raise ConfigError(f'{type(model).__name__} could not be run on {size} to find its features ({reason}){advice}')


def _told_apart(watch: '_Watch', model: nn.Module, inputs: Tensor, entry: str) -> tuple[Feature, ...]:
    """The features of a run. A second run, on an image twice as wide, decides which of ``alike`` are channels-last."""
    features, alike = watch.features(), set(watch.alike)
    if not alike:
        return features
    wide = torch.cat([inputs, inputs], dim=-1)
    watch.restart(wide)
    try:
        run_entry(model, wide, [sample_of(wide)], entry)
    except Exception:  # a model of square images only; its maps stay what they are in most models
        return features
    kinds = {feature.tap: feature.kind for feature in watch.features()}
    return tuple(
        _as_channels_last(feature, inputs) if feature.tap in alike and kinds.get(feature.tap) == 'channels_last'
        else feature for feature in features)


def _as_channels_last(feature: Feature, image: Tensor) -> Feature:
    """The feature ``[N, H, W, C]`` of a value that was read as ``[N, C, H, W]``."""
    (height, width), channels = (feature.channels, feature.size[0]), feature.size[1]
    return replace(
        feature, kind='channels_last', channels=channels, size=(height, width), before_relu=None,
        stride=_stride(image.shape[2], height))


class _Watch:
    """Describes what each module outputs in its last call, and keeps none of the outputs.

    Args:
        model (nn.Module): The model, which is run after :meth:`restart`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modules = dict(model.named_modules())
        for name, module in self._modules.items():
            if name:
                module.register_forward_hook(self._hook(name))

    def restart(self, image: Tensor) -> None:
        """Forget all outputs; the model will run on this image, ``[1, C, H, W]``."""
        self._image = image
        self._order = itertools.count()
        self._found: dict[str, tuple[Feature, ...]] = {}  # in the order in which the modules finish
        self.alike: set[str] = set()  # taps of values that may as well be channels-last maps
        self._relus: dict[str, weakref.ref] = {}

    @property
    def modules_run(self) -> int:
        """Number of modules that have finished."""
        return len(self._found)

    def features(self) -> tuple[Feature, ...]:
        """The features, in the order in which their modules finish."""
        return tuple(itertools.chain.from_iterable(self._found.values()))

    def reached_the_end_of_the_neck(self) -> bool:
        """Whether the model failed only in its head, which no tap needs."""
        last = 'neck' if isinstance(getattr(self._model, 'neck', None), nn.Module) else 'backbone'
        return last in self._found

    def _hook(self, name: str) -> Callable:
        def describe(module: nn.Module, args: tuple, output: object) -> None:
            self._found.pop(name, None)
            self._relus.pop(name, None)
            if isinstance(module, (nn.ReLU, nn.ReLU6)) and isinstance(output, Tensor):
                self._relus[name] = weakref.ref(output)
            self._found[name] = tuple(self._described(name, module, output, next(self._order)))

        return describe

    def _described(self, name: str, module: nn.Module, output: object, order: int) -> Iterator[Feature]:
        path = as_path(self._model, name)
        composite = next(module.children(), None) is not None
        elements = list(_elements(output))
        several = len(elements) > 1
        for index, value in elements:
            described = _describe(value, self._image)
            if described is None:
                continue
            kind, channels, size, extra = described
            tap = path + (f':output{index}' if several else '')
            if kind == 'map' and _covers((channels, size[0]), self._image):
                self.alike.add(tap)
            relu = self._relu_at_the_end(name, value) if composite and kind == 'map' and not several else None
            yield Feature(
                tap=tap, module=name, path=path, outputs=len(elements),
                kind=kind, channels=channels, size=size, stride=_stride(self._image.shape[2], size[0]), order=order,
                type=type(module).__name__, composite=composite, num_extra_tokens=extra,
                before_relu=relu and f'{as_path(self._model, relu)}:input')

    def _relu_at_the_end(self, name: str, value: Tensor) -> str | None:
        """The ReLU inside a module whose output is the module's own."""
        return next((
            relu for relu, output in reversed(self._relus.items())
            if relu.startswith(f'{name}.') and output() is value), None)


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
        if _covers((second, third), image):
            return 'map', first, (second, third), 0
        return ('channels_last', third, (first, second), 0) if _covers((first, second), image) else None
    if value.dim() == 3:
        for extra in range(_MOST_EXTRA_TOKENS + 1):
            grid = token_grid(value.shape[1] - extra, tuple(image.shape[-2:]))
            if grid and grid != (1, 1):
                return 'tokens', value.shape[2], grid, extra
    return None


def _covers(size: tuple[int, int], image: Tensor) -> bool:
    """Whether a map of this size has the shape of the image, up to the rounding of a pixel at each border."""
    (h, w), (height, width) = size, image.shape[-2:]
    return h == w if height == width else abs(w * height - h * width) <= height + width


def _stride(image: int, size: int) -> float:
    ratio = image / size
    power = 2**round(math.log2(ratio)) if ratio >= 1 else ratio
    return float(power) if size in (image // power, -(-image // power)) else ratio


def as_path(model: nn.Module, name: str) -> str:
    """Write a module's name as Python would: ``backbone.layer1.2.relu`` as ``backbone.layer1[-1].relu``.

    Args:
        model (nn.Module): The model that contains the module.
        name (str): The module's name, as ``named_modules`` has it.
    """
    path, owner = '', model
    for step in name.split('.'):
        if isinstance(owner, (nn.Sequential, nn.ModuleList)) and re.fullmatch(r'\d+', step):
            path += '[-1]' if int(step) == len(owner) - 1 else f'[{step}]'
        else:
            path += f'.{step}' if path else step
        owner = owner._modules[step]
    return path
