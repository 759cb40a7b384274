"""The features recorded at a model's taps in one run."""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmreviewkd.utils.errors import TapError

from .model_inputs import images_in
from .tap_path import without_keys


class AllTapsPassed(Exception):
    """Raised inside a forward pass to end it after the last call of the last tap."""


class Recording:
    """Collects the values at a model's taps in one run, and converts them to feature maps.

    Args:
        taps (Sequence[str]): The taps, fine to coarse.
        adapters (Mapping[str, nn.Module]): Adapters by tap, which convert its value to ``[N, C, H, W]``.
        where (str): The config key of the taps, for error messages. Defaults to 'taps'.
        image_size (tuple[int, int], optional): ``(H, W)`` of the images in pixels, for adapters. Defaults to None.
        stop_after (Mapping[str, int], optional): How often each tap is called, if the run is to end after the last of
            these calls. Defaults to None.

    Attributes:
        calls (Counter): How often each tap was called.
        with_grad (bool): Whether autograd was on when the run began.
    """

    def __init__(
            self, taps: Sequence[str], adapters: Mapping[str, nn.Module] = {}, where: str = 'taps',
            image_size: tuple[int, int] | None = None, stop_after: Mapping[str, int] | None = None) -> None:
        self.taps = tuple(taps)
        self.adapters = adapters
        self.where = where
        self.image_size = image_size
        self.calls: Counter = Counter()
        self.with_grad = torch.is_grad_enabled()
        self._stop_after = Counter(stop_after) if stop_after else None
        self._values: dict[str, object] = {}
        self._versions: dict[str, list[int]] = {}

    @property
    def complete(self) -> bool:
        """Whether every tap was called."""
        return all(self.calls[tap] for tap in self.taps)

    def note(self, tap: str, value: object) -> None:
        """Record the value at a tap, and end the run if no further one is expected.

        Args:
            tap (str): The tap.
            value (object): ``[N, C, H, W]``, ``[N, C]``, a tuple or dict of them, or a value for the tap's adapter.

        Raises:
            TapError: If the module runs inside a block without autograd, in a run with autograd.
            AllTapsPassed: If every tap has been called as often as expected.
        """
        if self.with_grad and not torch.is_grad_enabled():
            raise TapError(
                f'{self.where}: {tap!r} lies inside a block that runs without autograd (activation checkpointing '
                'with use_reentrant=True?), so no gradient can pass it; tap the module around that block')
        self.calls[tap] += 1
        # Some modules, such as HRNet's, replace items of the list that they return.
        self._values[tap] = tuple(value) if isinstance(value, list) else value
        self._versions[tap] = _versions(value)
        if self.calls == self._stop_after:
            raise AllTapsPassed

    def overwritten(self) -> list[str]:
        """The taps whose values were modified in place after they were recorded."""
        return [tap for tap, value in self._values.items() if _versions(value) != self._versions[tap]]

    def levels(self) -> list[tuple[str, Tensor]]:
        """The features, one per level.

        Returns:
            list[tuple[str, Tensor]]: The level's name, itself a tap, and its map ``[N, C, H, W]``.

        Raises:
            TapError: If a tap was never called, or its value is no feature map or one of zero size.
        """
        levels = []
        for tap in self.taps:
            if tap not in self._values:
                raise TapError(f'{self.where}: {tap!r} is never called when the model runs')
            value = self._values[tap]
            named = _named_levels(tap, value if tap in self.adapters else without_keys(value))
            levels += [(name, self._as_map(name, self._adapted(tap, name, value))) for name, value in named]
        return levels

    def features(self) -> tuple[Tensor, ...]:
        """The maps of :meth:`levels`, ``[N, C, H, W]`` each."""
        return tuple(feature for _, feature in self.levels())

    def _adapted(self, tap: str, name: str, value: object) -> object:
        if tap not in self.adapters:
            return value
        try:
            return self.adapters[tap](value, self.image_size)
        except TapError as error:
            raise TapError(f'{self.where}: {name!r} {error}') from None

    def _as_map(self, name: str, value: object) -> Tensor:
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.dim() not in (2, 4):
            raise TapError(f'{self.where}: {name!r} gives no feature map but {_found(value)}; a level is [N, C, H, W] '
                           f'or [N, C]{_hint(name, value)}')
        if value.dim() == 2:
            value = value[:, :, None, None]
        if 0 in value.shape:
            raise TapError(f'{self.where}: {name!r} gives a map of shape {tuple(value.shape)}, smaller than 1 '
                           'pixel; use larger images, or leave this level out')
        return value


def image_size_of(inputs: object) -> tuple[int, int] | None:
    """``(H, W)`` of a batch of images, see :func:`images_in`; None for anything else."""
    images = images_in(inputs)
    return None if images is None else tuple(images.shape[-2:])


def _versions(value: object) -> list[int]:
    """The in-place version counters of the tensors in a value."""
    if isinstance(value, (tuple, list, Mapping)):
        return [version for item in without_keys(value) for version in _versions(item)]
    return [value._version] if isinstance(value, Tensor) and not value.is_inference() else []


def _named_levels(tap: str, value: object) -> list[tuple[str, object]]:
    """Split a tuple into levels; elements that hold no features (sizes, None, masks) are skipped."""
    if not isinstance(value, (tuple, list)):
        return [(tap, value)]
    kept = [(i, item) for i, item in enumerate(value) if _holds_features(item)]
    if not kept:
        return [(tap, value)]
    if len(kept) == 1 and isinstance(kept[0][1], Tensor):
        return [(tap, kept[0][1])]
    prefix = tap if ':' in tap else f'{tap}:output'
    return [(f'{prefix}[{i}]', item) for i, item in kept]


def _holds_features(item: object) -> bool:
    if isinstance(item, (tuple, list)):
        return any(map(_holds_features, item))
    return isinstance(item, Tensor) and item.is_floating_point()


def _found(value: object) -> str:
    if isinstance(value, Tensor):
        return f'a tensor {tuple(value.shape)} of {value.dtype}'
    size = f' of {len(value)}' if isinstance(value, (tuple, list, dict)) else ''
    return f'a {type(value).__name__}{size}'


def _hint(name: str, value: object) -> str:
    if isinstance(value, Tensor) and value.dim() == 3:
        return f" (of tokens [N, L, C], dict(type='TokensToMap', tap={name!r}) makes one)"
    if isinstance(value, (tuple, list)) and _holds_features(value):
        index = next(i for i, item in enumerate(value) if _holds_features(item))
        name = name if ':' in name else f'{name}:output'
        return f'; {name}[{index}] selects one element'
    return ''
