"""Infer the levels of a model's taps from a run on a blank image."""

import copy
import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmreviewkd.utils.errors import ConfigError, TapError
from mmreviewkd.utils.random import preserved_random_state

from .entry import entries_of, run_entry
from .feature_taps import FeatureTaps
from .model_inputs import grid_size
from .recording import Recording

# Sides of the square images, in pixels; the first one that the model accepts is used. A network whose first convolution
# has stride 1 is meant for small images, so the smallest side is tried first.
SIDES = (224, 64, 32, 512)
# Coordinates and intensity (KITTI); time, too (nuScenes); coordinates alone; elongation, too.
VALUES_OF_A_POINT = (4, 5, 3, 6)


@dataclass(frozen=True)
class Probe:
    """The levels of a model's taps, as found in a run on a blank image.

    Args:
        names (tuple[str, ...]): The names of the levels.
        shapes (tuple[tuple[int, int, int], ...]): Their ``(C, H, W)``.
        calls (Counter): How often each tap was called.
        entry (str): The call of the model that reached them, see
            :func:`~mmreviewkd.models.taps.entry.entries_of`.
        image (tuple[int, int, int]): ``(C, H, W)`` of the image.
        frozen (tuple[str, ...]): The taps before which no module with trainable parameters ran. Defaults to ().
        shared (tuple[str, ...]): The taps whose module ran on maps of several sizes, such as a detector's head that is
            shared by all levels of a pyramid. Defaults to ().
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, int, int], ...]
    calls: Counter
    entry: str
    image: tuple[int, int, int]
    frozen: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()

    @property
    def channels(self) -> list[int]:
        """Channels of each level."""
        return [shape[0] for shape in self.shapes]

    @property
    def strides(self) -> list[float]:
        """Pixels of the image per pixel of each level, along the height; infinite for a vector or 1x1 map."""
        return [float('inf') if h * w == 1 else self.image[1] / h for _, h, w in self.shapes]

    def table(self) -> list[str]:
        """One line per level: its name, channels and size."""
        width = max(map(len, self.names), default=0)
        seen = f' at {self.image[1]} x {self.image[2]} pixels' if len(self.image) == 3 else ''
        return [
            f'{name:{width}}  {c:5d} channels, {h} x {w}{seen}' for name, (c, h, w) in zip(self.names, self.shapes)]


def probe(model: nn.Module, taps: FeatureTaps, image: tuple[int, ...] | None = None) -> Probe:
    """Run a copy of a model once, in eval mode, and return the levels of its taps.

    The weights, buffers and training flags of the model and the global random state do not change.

    Args:
        model (nn.Module): An MMEngine ``BaseModel``, or any module that is called with its images.
        taps (FeatureTaps): Its taps.
        image (tuple[int, ...], optional): The only shape to try: ``(C, H, W)``, or that of one input of another kind.
            Defaults to None.

    Raises:
        TapError: If a tap names no module, is never called, or gives no feature map.
        ConfigError: If the model runs on none of the blank images; the message has the error of the attempt that got
            furthest.
    """
    for tap in taps.taps:
        taps.resolve(model, tap)
    attempts = []
    with preserved_random_state(), torch.no_grad():
        model = copy.deepcopy(model)
        model.train()  # some networks freeze their stages in it; some return None from it
        model.eval()
        watch = _Watch(model, taps)
        for blank, entry in itertools.product(blank_images(model, image), entries_of(model)):
            watch.restart()
            recording, error = _attempt(model, taps, blank, entry)
            if recording.complete:
                return _probe_of(recording, watch, entry, blank)
            attempts.append(_Attempt(recording, error, entry, tuple(blank.shape[1:]), watch.modules_run))
    raise _failure(model, taps, max(attempts, key=lambda attempt: (attempt.passed, attempt.modules_run)))


@dataclass
class _Attempt:
    recording: Recording
    error: Exception | None
    entry: str
    image: tuple[int, ...]
    modules_run: int

    @property
    def passed(self) -> int:
        return sum(map(bool, self.recording.calls.values()))


def blank_images(model: nn.Module, image: tuple[int, ...] | None = None) -> Iterator[Tensor]:
    """Yield blank images that a model may accept, the most likely ones first.

    Args:
        model (nn.Module): The model; the number of channels is that of its first convolution, whose stride tells
            whether the model is meant for small images. Networks of one size, such as MLP-Mixers, name it. For a
            model of point clouds an image has a pixel per column of voxels, and as many channels as a point has values
            (see :func:`~mmreviewkd.models.taps.model_inputs.as_accepted`).
        image (tuple[int, ...], optional): The only shape to try, ``(C, H, W)``. Defaults to None.

    Yields:
        Tensor: ``[1, C, H, W]``, on the device and of the type of the model's parameters.
    """
    blank = next(model.parameters()).new_zeros
    if image:
        yield blank(1, *image)
        return
    if grid := grid_size(model):
        for depth in VALUES_OF_A_POINT:
            yield blank(1, depth, *grid)
        return
    convolution = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    small = convolution is not None and convolution.stride == (1, 1)
    sides = sorted(SIDES, key=lambda side: side > 64) if small else SIDES
    # A convolution behind a focus stem sees rearranged pixels, so colour images are tried beside its own channels.
    channels = sorted({convolution.in_channels if convolution else 3, 3})
    sizes = dict.fromkeys([*((side, side) for side in sides), *_own_sizes(model)])
    for size, depth in itertools.product(sizes, channels):
        yield blank(1, depth, *size)


def _own_sizes(model: nn.Module) -> Iterator[tuple[int, int]]:
    """The sizes ``(H, W)`` of images that parts of the model are meant for."""
    for module in model.modules():
        size = getattr(module, 'img_size', None)
        size = (size, size) if isinstance(size, int) else size
        if isinstance(size, (tuple, list)) and len(size) == 2 and all(isinstance(side, int) for side in size):
            yield tuple(size)


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
    """Make a data sample with the metadata that detectors read."""
    shape = tuple(image.shape[-2:])
    return BaseDataElement(metainfo=dict(
        img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0)))


def _probe_of(recording: Recording, watch: '_Watch', entry: str, image: Tensor) -> Probe:
    levels = recording.levels()
    for name, feature in levels:
        if len(feature) != 1:
            raise TapError(
                f'{recording.where}: {name!r} gives {len(feature)} maps for one image, such as one for each region or '
                'window; tap a module that gives one map per image')
    return Probe(
        names=tuple(name for name, _ in levels), shapes=tuple(tuple(f.shape[1:]) for _, f in levels),
        calls=Counter(recording.calls), entry=entry, image=tuple(image.shape[1:]),
        frozen=tuple(tap for tap in recording.taps if not watch.trainable.get(tap, True)),
        shared=tuple(tap for tap in recording.taps if _of_several_sizes(watch.shapes[tap])))


def _of_several_sizes(shapes: list[tuple[int, ...]]) -> bool:
    """Whether the inputs of the last two calls have the same channels but different sizes."""
    last = shapes[-2:]
    return len(last) == 2 and all(len(shape) == 4 for shape in last) and last[0][:2] == last[1][:2] \
        and last[0] != last[1]


def _failure(model: nn.Module, taps: FeatureTaps, attempt: _Attempt) -> ConfigError:
    call = dict(tensor="forward(mode='tensor')", call='forward').get(attempt.entry, attempt.entry)
    if attempt.error is None:
        missed = next(tap for tap in taps.taps if not attempt.recording.calls[tap])
        return TapError(f'{taps.where}: {missed!r} is never called when the model runs by {call}')
    reason = (str(attempt.error).strip() or 'no message').splitlines()[0]
    return ConfigError(
        f'{taps.where}: {type(model).__name__} could not be run on a blank image to infer its channels '
        f'({call} at {attempt.image[-1]} pixels: {type(attempt.error).__name__}: {reason}); give the image_shape that '
        'it accepts, such as (1, 3, 224, 224) for clips of frames, or tap only what its extract_feat or forward '
        'reaches')


class _Watch:
    """Observes a run of a model: how far it gets, and what its taps depend on.

    Attributes:
        modules_run (int): Number of module calls that have finished.
        trainable (dict[str, bool]): For each tap, whether modules with trainable parameters had run before.
        shapes (dict[str, list]): For each tap, the shapes of its module's first argument in each call, where it was a
            tensor.
    """

    def __init__(self, model: nn.Module, taps: FeatureTaps) -> None:
        self.restart()
        for module in model.modules():
            module.register_forward_pre_hook(self._before)
            module.register_forward_hook(self._after)
        for tap in taps.taps:
            taps.resolve(model, tap).register_forward_hook(functools.partial(self._at_tap, tap))

    def restart(self) -> None:
        """Reset all observations."""
        self.modules_run = 0
        self.trainable: dict[str, bool] = {}
        self.shapes: dict[str, list[tuple[int, ...]]] = defaultdict(list)
        self._trained = False

    def _before(self, module: nn.Module, args: tuple) -> None:
        self._trained |= any(parameter.requires_grad for parameter in module.parameters(recurse=False))

    def _after(self, *_: object) -> None:
        self.modules_run += 1

    def _at_tap(self, tap: str, module: nn.Module, args: tuple, output: object) -> None:
        self.trainable[tap] = self._trained
        if args and isinstance(args[0], Tensor):
            self.shapes[tap].append(tuple(args[0].shape))
