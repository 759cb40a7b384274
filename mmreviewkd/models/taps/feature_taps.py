"""Record features from inside a model, by the names of its modules."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from mmreviewkd.models.build import build_model
from mmreviewkd.utils.errors import TapError

from .recording import AllTapsPassed, Recording, image_size_of
from .tap_path import TapPath


class FeatureTaps:
    """Record features from inside a model, by the names of its modules.

    A tap names a module as Python would: ``backbone.layer1``, ``backbone.layer1[-1].relu``, ``neck``, ``neck[0]``.
    The feature is the module's output or, with ``:input`` after the name, its first argument. The value is a map
    ``[N, C, H, W]``, a vector ``[N, C]`` (read as a 1x1 map), or a tuple or dict of them (several levels; its other
    elements, such as sizes, are skipped). ``backbone.stages[0]:output[1]`` selects one element. If a module's features
    have another layout, an adapter converts them to maps:
    ``dict(type='TokensToMap', tap='backbone.layers[5]', num_extra_tokens=1)``.

    Hooks are registered on a model only while :meth:`record` runs, so copies of a model can be tapped like the model
    itself.

    Args:
        taps (Sequence[str or dict]): The taps, fine to coarse. In a dict, ``tap`` is the name, and the other keys build
            the adapter: a module without parameters that is called with the value and the images' ``(H, W)`` and
            returns ``[N, C, H, W]``.
        where (str): The config key of the taps, for error messages. Defaults to 'taps'.

    Raises:
        TapError: If ``taps`` is not a list of such names and dicts.
        ConfigError: If an adapter is unknown or has an unknown key.
    """

    def __init__(self, taps: Sequence[str | dict], where: str = 'taps') -> None:
        if isinstance(taps, (str, Mapping)) or not all(map(_is_tap, taps)):
            raise TapError(
                f"{where} must be a list of module names, or of dicts such as dict(type='TokensToMap', "
                f"tap='backbone.layers[5]'), but is {taps!r}")
        self.taps = tuple(tap if isinstance(tap, str) else tap['tap'] for tap in taps)
        self.adapters = {tap['tap']: _build_adapter(tap, where) for tap in taps if not isinstance(tap, str)}
        self.where = where
        self._paths = {tap: TapPath.parse(tap, where) for tap in self.taps}
        self._overwritten: set[str] = set()
        if len(self._paths) < len(self.taps):
            twice = next(tap for tap in self.taps if self.taps.count(tap) > 1)
            raise TapError(f'{where} names {twice!r} twice')

    def __len__(self) -> int:
        return len(self.taps)

    def resolve(self, model: nn.Module, tap: str) -> nn.Module:
        """Find the module that a tap names.

        Args:
            model (nn.Module): The model.
            tap (str): The tap.

        Raises:
            TapError: If there is none; the message lists near matches.
        """
        return self._paths[tap].resolve(model, self.where)

    def attach(self, model: nn.Module, note: Callable[[str, object], None]) -> contextlib.ExitStack:
        """Register hooks that call a function with the value at each tap.

        Values that were overwritten in place in an earlier run are copied first. An in-place module whose input is
        tapped runs out of place; this leaves its input unchanged and needs no more memory than a copy.

        Args:
            model (nn.Module): The model.
            note (Callable): Called with the tap and its value.

        Returns:
            contextlib.ExitStack: Removes the hooks when it is closed or its ``with`` block ends. If it is not used, the
            hooks stay.

        Raises:
            TapError: If a tap names no module.
        """
        with contextlib.ExitStack() as attached:
            for tap in self.taps:
                self._attach(tap, self.resolve(model, tap), note, attached)
            return attached.pop_all()

    @contextlib.contextmanager
    def record(
            self, model: nn.Module, images: Tensor | None = None,
            stop_after: Mapping[str, int] | None = None) -> Iterator[Recording]:
        """Record the values at the taps while the ``with`` block runs.

        If a module is called several times, the last call counts.

        Args:
            model (nn.Module): The model to tap.
            images (Tensor, optional): The batch it runs on, ``[N, C, H, W]``, whose size adapters need. Defaults to
                None.
            stop_after (Mapping[str, int], optional): How often each tap is called in a run. If given, the block is left
                after the last of these calls, so that nothing past the deepest tap runs. Defaults to None.

        Yields:
            Recording: The recorded features, complete when the block has ended.

        Raises:
            TapError: If a tap names no module, or gradients cannot pass its feature.
        """
        recording = self.recording(images, stop_after)
        with self.attach(model, recording.note), contextlib.suppress(AllTapsPassed):
            yield recording
        overwritten = recording.overwritten()
        self._overwritten.update(overwritten)
        if overwritten and recording.with_grad:
            raise TapError(
                f'{self.where}: the feature at {overwritten[0]!r} is changed in place after the tap has read it, so '
                'no gradient can pass it; tap the module that changes it, or the input of that module')

    def recording(
            self, images: Tensor | None = None, stop_after: Mapping[str, int] | None = None) -> Recording:
        """Create an empty recording for these taps; see :meth:`record` for the arguments."""
        return Recording(self.taps, self.adapters, self.where, image_size_of(images), stop_after)

    def _attach(
            self, tap: str, module: nn.Module, note: Callable[[str, object], None],
            attached: contextlib.ExitStack) -> None:
        path = self._paths[tap]
        copies = tap in self._overwritten

        def read(value: object) -> None:
            try:
                selected = path.select(value)
            except (IndexError, TypeError):
                size = f' of {len(value)}' if isinstance(value, Sequence) else ''
                raise TapError(f'{self.where}: {tap!r} selects an element that the {type(value).__name__}{size} there '
                               'does not have') from None
            note(tap, _copied(selected) if copies else selected)

        if path.end == 'output':
            attached.callback(module.register_forward_hook(lambda module, args, output: read(output)).remove)
            return
        attached.callback(module.register_forward_pre_hook(
            lambda module, args, kwargs: read(args[0] if args else _first(module, kwargs)),
            with_kwargs=True).remove)
        if getattr(module, 'inplace', False):
            module.inplace = False
            attached.callback(setattr, module, 'inplace', True)


def _first(module: nn.Module, kwargs: Mapping[str, object]) -> object:
    """The first argument of a forward pass that is called with keywords only."""
    names = [*inspect.signature(module.forward).parameters, *kwargs]
    return next((kwargs[name] for name in names if name in kwargs), None)


def _copied(value: object) -> object:
    if isinstance(value, (tuple, list)):
        return tuple(map(_copied, value))
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return value.clone() if isinstance(value, Tensor) else value


def _is_tap(entry: object) -> bool:
    return isinstance(entry, str) or (
        isinstance(entry, Mapping) and 'type' in entry and isinstance(entry.get('tap'), str))


def _build_adapter(entry: Mapping, where: str) -> nn.Module:
    config = {key: value for key, value in entry.items() if key != 'tap'}
    return build_model({'_scope_': 'mmreviewkd', **config}, f'{where}: {entry["tap"]!r}')
