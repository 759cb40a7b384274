"""Taps: feature maps read from inside a model, by the names of its modules."""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mmreviewkd.models.build import build_model
from mmreviewkd.utils.errors import TapError, did_you_mean

_TAP = re.compile(r'(?P<path>[^:]+)(:(?P<end>input|output))?')
_STEP = re.compile(r'\.?(?P<name>\w+)|\[(?P<index>-?\d+)\]')


class FeatureTaps:
    """Where a model is tapped.

    A tap names a module as Python would, with ``:input`` behind it where what flows in is meant: ``backbone.layer1``,
    ``backbone.layer1[-1].relu:input``, ``neck``, ``neck[0]``. The module gives a map ``[N, C, H, W]``, a vector
    ``[N, C]`` (a 1x1 map), or a tuple of them (several levels). Of a module that keeps its features in another shape,
    an adapter makes maps: ``dict(type='TokensToMap', tap='backbone.layers[5]', num_extra_tokens=1)``.

    Nothing is attached to a model but during :meth:`record`, so copies of a model can be tapped like the model itself.

    Args:
        taps (Sequence[str or dict]): The taps, fine to coarse. A dict has the name as its ``tap`` and builds, of the
            rest, the adapter: a module that makes ``[N, C, H, W]`` of a value and the images' ``(H, W)``, and has
            nothing to train.
        where (str): The config key they come from, for messages. Defaults to 'taps'.

    Raises:
        TapError: If ``taps`` is no list of such names and dicts.
        ConfigError: If there is no such adapter, or not with these keys.
    """

    def __init__(self, taps: Sequence[str | dict], where: str = 'taps') -> None:
        if isinstance(taps, (str, Mapping)) or not all(map(_is_tap, taps)):
            raise TapError(
                f"{where} must be a list of module names, or of dicts such as dict(type='TokensToMap', "
                f"tap='backbone.layers[5]'), but is {taps!r}")
        self.taps = tuple(tap if isinstance(tap, str) else tap['tap'] for tap in taps)
        self.adapters = {tap['tap']: _build_adapter(tap, where) for tap in taps if not isinstance(tap, str)}
        self.where = where
        self._spoiled: set[str] = set()
        for tap in self.taps:
            if self.taps.count(tap) > 1:
                raise TapError(f'{where} names {tap!r} twice')

    def __len__(self) -> int:
        return len(self.taps)

    @contextlib.contextmanager
    def record(
            self, model: nn.Module, images: Tensor | None = None,
            stop_after: Mapping[str, int] | None = None) -> Iterator['Recording']:
        """Note what passes the taps while the block runs; of several calls of a module, the last one counts.

        Args:
            model (nn.Module): The model to tap.
            images (Tensor, optional): The batch it runs on, ``[N, C, H, W]``; adapters are told its size. Defaults to
                None.
            stop_after (Mapping[str, int], optional): How often each tap is passed. Given that, the block is left as
                soon as the last of them has been, so nothing past the deepest tap runs. Defaults to None.

        Yields:
            Recording: What was noted; complete when the block has ended.

        Raises:
            TapError: If a tap names no module, or one whose features cannot be trained through.
        """
        recording = Recording(self, size_of(images), Counter(stop_after) if stop_after else None)
        with contextlib.ExitStack() as hooks:
            for tap in self.taps:
                self._attach(tap, self.resolve(model, tap), recording, hooks)
            with contextlib.suppress(_AllPassed):
                yield recording
        recording.check_unspoiled()

    def resolve(self, model: nn.Module, tap: str) -> nn.Module:
        """Find the module a tap names.

        Args:
            model (nn.Module): The model.
            tap (str): The tap.

        Raises:
            TapError: If there is none; the message lists near matches.
        """
        path = _TAP.fullmatch(tap)
        module, rest = model, path['path'] if path else ''
        while rest:
            step = _STEP.match(rest)
            try:
                module = module[int(step['index'])] if step['index'] else getattr(module, step['name'])
            except (AttributeError, IndexError, TypeError, NotImplementedError):
                break
            rest = rest[step.end():]
        if not path or rest or not isinstance(module, nn.Module):
            names = [re.sub(r'\.(\d+)', r'[\1]', name) for name, _ in model.named_modules() if name]
            suggestion = did_you_mean(path['path'] if path else tap, names)
            raise TapError(f'{self.where}: {tap!r} names no module of {type(model).__name__}; {suggestion}')
        return module

    def attach(self, module: nn.Module, tap: str, passed: dict) -> None:
        """Tap a module for good, for a frozen network that is compiled.

        Args:
            module (nn.Module): The module.
            tap (str): Its tap.
            passed (dict): Where what passes is kept, by tap.
        """
        copies = tap in self._spoiled

        def keep(value):
            passed[tap] = value.clone() if copies else value

        if tap.endswith(':input'):
            if getattr(module, 'inplace', False):
                module.inplace = False
            module.register_forward_pre_hook(lambda module, args: keep(args[0]))
        else:
            module.register_forward_hook(lambda module, args, output: keep(output))

    def _attach(self, tap: str, module: nn.Module, recording: 'Recording', hooks: contextlib.ExitStack) -> None:
        if tap.endswith(':input'):
            def before(module, args, kwargs):
                recording.note(tap, args[0] if args else next(iter(kwargs.values()), None))

            hooks.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
            if getattr(module, 'inplace', False):
                # Run out of place, the module leaves its input as it was, at no more memory than a copy.
                module.inplace = False
                hooks.callback(setattr, module, 'inplace', True)
        else:
            def after(module, args, output):
                recording.note(tap, output)

            hooks.callback(module.register_forward_hook(after).remove)


class _AllPassed(Exception):
    """Raised inside a forward pass to leave it."""


@dataclass
class Recording:
    """What passed the taps in one run of a model.

    Args:
        taps (FeatureTaps): The taps.
        image_size (tuple[int, int], optional): ``(H, W)`` of the images, for adapters.
        expected (Counter, optional): How often each is passed, if the run is to be left after that.
    """

    taps: FeatureTaps
    image_size: tuple[int, int] | None = None
    expected: Counter | None = None
    calls: Counter = field(default_factory=Counter)
    _values: dict = field(default_factory=dict)
    _with_grad: bool = field(default_factory=torch.is_grad_enabled)

    @property
    def complete(self) -> bool:
        """Whether every tap was passed."""
        return all(self.calls[tap] for tap in self.taps.taps)

    def note(self, tap: str, value: Tensor | Sequence[Tensor]) -> None:
        """Keep what passed a tap, and leave the run if nothing more is expected.

        Args:
            tap (str): The tap.
            value (Tensor or Sequence[Tensor]): ``[N, C, H, W]`` or ``[N, C]``, or several.

        Raises:
            TapError: If the module runs where autograd does not see it.
        """
        if self._with_grad and not torch.is_grad_enabled():
            raise TapError(
                f'{self.taps.where}: {tap!r} lies inside a block that runs without autograd (activation checkpointing '
                'with use_reentrant=True?), so nothing can be learned through it; tap the module around that block')
        levels = _as_tuple(value)
        if tap in self.taps._spoiled:
            levels = tuple(level.clone() if isinstance(level, Tensor) else level for level in levels)
        self.calls[tap] += 1
        self._values[tap] = [(level, getattr(level, '_version', 0)) for level in levels]
        if self.calls == self.expected:
            raise _AllPassed

    def check_unspoiled(self) -> None:
        """Find features that were changed in place after they had passed; from the next run on they are copied.

        Raises:
            TapError: If there are any that this run needs.
        """
        spoiled = [
            tap for tap, levels in self._values.items()
            if any(isinstance(level, Tensor) and level._version != version for level, version in levels)]
        self.taps._spoiled.update(spoiled)
        if spoiled and self._with_grad:
            raise TapError(
                f'{self.taps.where}: what passes {spoiled[0]!r} is changed in place right after, so it is no feature '
                'to learn from; tap the module that changes it, or its input')

    def levels(self) -> list[tuple[str, Tensor]]:
        """The features, a level each.

        Returns:
            list[tuple[str, Tensor]]: The level's name, and its map ``[N, C, H, W]``.

        Raises:
            TapError: If a tap was not passed, or gave no feature map, or one without pixels.
        """
        levels = []
        for tap in self.taps.taps:
            if tap not in self._values:
                raise TapError(f'{self.taps.where}: {tap!r} is never called when the model runs')
            values = [value for value, _ in self._values[tap]]
            for i, value in enumerate(values):
                name = tap if len(values) == 1 else f'{tap} ({i})'
                levels.append((name, self._as_map(name, self._adapted(tap, name, value))))
        return levels

    def features(self) -> tuple[Tensor, ...]:
        """The maps of :meth:`levels`, ``[N, C, H, W]`` each."""
        return tuple(feature for _, feature in self.levels())

    def _adapted(self, tap: str, name: str, value: Tensor) -> Tensor:
        if tap not in self.taps.adapters:
            return value
        try:
            return self.taps.adapters[tap](value, self.image_size)
        except TapError as error:
            raise TapError(f'{self.taps.where}: {name!r} {error}') from None

    def _as_map(self, name: str, value: Tensor) -> Tensor:
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.dim() not in (2, 4):
            found = f'a tensor {tuple(value.shape)} of {value.dtype}' if isinstance(value, Tensor) \
                else f'a {type(value).__name__}'
            raise TapError(
                f'{self.taps.where}: {name!r} gives no feature map but {found}; a level is [N, C, H, W] or [N, C] '
                f"(of tokens [N, L, C], dict(type='TokensToMap', tap={name!r}) makes one)")
        if value.dim() == 2:
            value = value[:, :, None, None]
        if 0 in value.shape:
            raise TapError(f'{self.taps.where}: {name!r} gives a map of shape {tuple(value.shape)}, smaller than 1 '
                           'pixel; use larger images, or leave this level out')
        return value


def _as_tuple(value: Tensor | Sequence[Tensor]) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def size_of(images: object) -> tuple[int, int] | None:
    """``(H, W)`` of a batch ``[N, C, H, W]``; None of anything else."""
    return tuple(images.shape[-2:]) if isinstance(images, Tensor) else None


def _is_tap(entry: object) -> bool:
    return isinstance(entry, str) or (
        isinstance(entry, Mapping) and 'type' in entry and isinstance(entry.get('tap'), str))


def _build_adapter(entry: Mapping, where: str) -> nn.Module:
    config = {key: value for key, value in entry.items() if key != 'tap'}
    return build_model({'_scope_': 'mmreviewkd', **config}, f'{where}: {entry["tap"]!r}')
