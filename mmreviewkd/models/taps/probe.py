"""Infer the levels that a model's taps give, from one run on a blank image."""

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmreviewkd.utils.errors import ConfigError, TapError
from mmreviewkd.utils.random import preserved_random_state

from .entry import ENTRIES, run_entry
from .feature_taps import FeatureTaps
from .recording import Recording

# Sides of the square images tried in turn, in pixels; the first one that the model accepts is used. A network whose
# first convolution has stride 1 is meant for small images, so it gets the smallest one first.
SIDES = (224, 64, 32, 512)


@dataclass(frozen=True)
class Probe:
    """The levels of a model's taps, as found in one run on a blank image.

    Args:
        names (tuple[str, ...]): The names of the levels.
        shapes (tuple[tuple[int, int, int], ...]): Their ``(C, H, W)``.
        calls (Counter): How often each tap was passed.
        entry (str): The call that passed them, one of :data:`ENTRIES`.
        image (tuple[int, int, int]): ``(C, H, W)`` of the image.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, int, int], ...]
    calls: Counter
    entry: str
    image: tuple[int, int, int]

    @property
    def channels(self) -> list[int]:
        """Channels of each level."""
        return [shape[0] for shape in self.shapes]

    def table(self) -> list[str]:
        """One line per level: its name, channels and size."""
        width = max(map(len, self.names), default=0)
        return [
            f'{name:{width}}  {c:5d} channels, {h} x {w} at {self.image[1]} x {self.image[2]} pixels'
            for name, (c, h, w) in zip(self.names, self.shapes)]


def probe(model: nn.Module, taps: FeatureTaps) -> Probe:
    """Run a copy of a model once, in eval mode, and return the levels that its taps give.

    The model itself does not run, so its weights, buffers and training flags stay as they are, as does the global
    random state.

    Args:
        model (nn.Module): An MMEngine ``BaseModel``.
        taps (FeatureTaps): Its taps.

    Raises:
        TapError: If a tap names no module, is never passed, or gives no feature map.
        ConfigError: If the model runs on no blank image; the message holds the error of the attempt that got furthest.
    """
    for tap in taps.taps:
        taps.resolve(model, tap)
    attempts = []
    with preserved_random_state(), torch.no_grad():
        model = copy.deepcopy(model).eval()
        modules_run = _count_calls(model)
        for image, entry in itertools.product(blank_images(model), ENTRIES):
            if entry == 'extract_feat' and not hasattr(model, entry):
                continue
            start = modules_run()
            recording, error = _attempt(model, taps, image, entry)
            if recording.complete:
                return _probe_of(recording, entry, image)
            attempts.append(_Attempt(recording, error, entry, image.shape[-1], modules_run() - start))
    raise _failure(model, taps, max(attempts, key=lambda attempt: (attempt.passed, attempt.modules_run)))


@dataclass
class _Attempt:
    recording: Recording
    error: Exception | None
    entry: str
    side: int
    modules_run: int

    @property
    def passed(self) -> int:
        return sum(map(bool, self.recording.calls.values()))


def blank_images(model: nn.Module, side: int | None = None) -> Iterator[Tensor]:
    """Yield blank square images that a model may accept, the most likely first.

    Args:
        model (nn.Module): The model; its first convolution tells the number of channels, and by its stride whether it
            is meant for small images.
        side (int, optional): The only side to try, in pixels. Defaults to None.

    Yields:
        Tensor: ``[1, C, side, side]``, on the device and of the type of the model's parameters.
    """
    convolution = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    small = convolution is not None and convolution.stride == (1, 1)
    sides = [side] if side else sorted(SIDES, key=lambda s: s > 64) if small else SIDES
    # A convolution behind a focus stem sees rearranged pixels, so colour images are tried beside its own channels.
    channels = sorted({convolution.in_channels if convolution else 3, 3})
    for height, depth in itertools.product(sides, channels):
        yield next(model.parameters()).new_zeros(1, depth, height, height)


def _attempt(
        model: nn.Module, taps: FeatureTaps, image: Tensor, entry: str) -> tuple[Recording, Exception | None]:
    recording = taps.recording(image)
    try:
        with taps.record(model, image) as recording:
            run_entry(model, image, [sample_of(image)], entry)
    except TapError:
        raise
    except Exception as error:
        return recording, error
    return recording, None


def sample_of(image: Tensor) -> BaseDataElement:
    """The metadata that detectors read from a data sample."""
    shape = tuple(image.shape[-2:])
    return BaseDataElement(metainfo=dict(
        img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0)))


def _probe_of(recording: Recording, entry: str, image: Tensor) -> Probe:
    levels = recording.levels()
    return Probe(
        names=tuple(name for name, _ in levels), shapes=tuple(tuple(f.shape[1:]) for _, f in levels),
        calls=Counter(recording.calls), entry=entry, image=tuple(image.shape[1:]))


def _failure(model: nn.Module, taps: FeatureTaps, attempt: _Attempt) -> ConfigError:
    call = 'extract_feat' if attempt.entry == 'extract_feat' else "forward(mode='tensor')"
    if attempt.error is None:
        missed = next(tap for tap in taps.taps if not attempt.recording.calls[tap])
        return TapError(f'{taps.where}: {missed!r} is never called when the model runs by {call}')
    reason = (str(attempt.error).strip() or 'no message').splitlines()[0]
    return ConfigError(
        f'{taps.where}: {type(model).__name__} could not be run on a blank image to infer its channels '
        f'({call} at {attempt.side} pixels: {type(attempt.error).__name__}: {reason}); tap only what its extract_feat '
        'or forward reaches')


def _count_calls(model: nn.Module) -> Callable[[], int]:
    """Count the finished calls of a model's modules, as a measure of how far a run got."""
    calls = Counter()
    for module in model.modules():
        module.register_forward_hook(lambda *_: calls.update(['all']))
    return lambda: calls['all']
