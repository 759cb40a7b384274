"""A look at what a model gives at its taps, without leaving a trace in it."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmreviewkd.utils.errors import ConfigError, TapError
from mmreviewkd.utils.random import preserved_random_state

from .feature_taps import FeatureTaps, Recording

# Sides of the square images tried in turn, in pixels; the first one a model takes is used. A network whose first
# convolution keeps the size is made for small images.
_SIDES = (224, 64, 512)


@dataclass(frozen=True)
class Probe:
    """What a run of a model on one blank image showed.

    Args:
        names (tuple[str, ...]): The levels' names.
        shapes (tuple[tuple[int, int, int], ...]): Their ``(C, H, W)``.
        calls (Counter): How often each tap was passed.
        entry (str): By which call of the model: 'extract_feat' or 'tensor'.
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
        """A line a level: its name, channels and size."""
        width = max(map(len, self.names), default=0)
        return [
            f'{name:{width}}  {c:5d} channels, {h} x {w} at {self.image[1]} x {self.image[2]} pixels'
            for name, (c, h, w) in zip(self.names, self.shapes)]


def probe(model: nn.Module, taps: FeatureTaps) -> Probe:
    """Run a model once, in eval mode, to see which levels its taps give.

    Weights, running statistics, training flags and the global random state stay as they are.

    Args:
        model (nn.Module): An MMEngine ``BaseModel``.
        taps (FeatureTaps): Where to look.

    Raises:
        TapError: If a tap names no module or gives no feature map.
        ConfigError: If the model runs on no blank image; the message holds its last error.
    """
    for tap in taps.taps:
        taps.resolve(model, tap)
    parameter = next(model.parameters())
    convolution = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    # The first convolution may see rearranged pixels (a focus stem), so colour images are tried too.
    channels = {convolution.in_channels if convolution else 3, 3}
    sides = sorted(_SIDES) if convolution and convolution.stride == (1, 1) else _SIDES
    errors = []
    with preserved_random_state(), torch.no_grad(), _eval_mode(model):
        for side, depth, entry in itertools.product(sides, sorted(channels), ('extract_feat', 'tensor')):
            if entry == 'extract_feat' and not hasattr(model, entry):
                continue
            recording = None
            try:
                image = parameter.new_zeros(1, depth, side, side)
                with taps.record(model, image) as recording:
                    run(model, image, None, entry)
            except TapError:
                raise
            except Exception as error:
                errors.append(f'{entry} at {side} pixels: {type(error).__name__}: {error}')
            if recording is not None and recording.complete:
                return _seen(recording, entry, (depth, side, side))
    if not errors:
        recording.levels()
    raise ConfigError(
        f'{taps.where}: {type(model).__name__} could not be run on a blank image to infer its channels '
        f'({errors[-1].strip().splitlines()[0]}); tap only what its extract_feat or forward reaches')


def run(model: nn.Module, inputs: Tensor, data_samples: list | None, entry: str) -> None:
    """Call a model by one of its entries.

    Args:
        model (nn.Module): An MMEngine ``BaseModel``.
        inputs (Tensor): ``[N, C, H, W]``.
        data_samples (list, optional): The data samples.
        entry (str): 'extract_feat' or 'tensor'.
    """
    if entry == 'extract_feat':
        model.extract_feat(inputs)
    else:
        model(inputs, data_samples, mode='tensor')


def _seen(recording: Recording, entry: str, image: tuple[int, int, int]) -> Probe:
    levels = recording.levels()
    return Probe(
        names=tuple(name for name, _ in levels), shapes=tuple(tuple(f.shape[1:]) for _, f in levels),
        calls=Counter(recording.calls), entry=entry, image=image)


@contextlib.contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    # Flag by flag: some models override train() and would not come back as they were.
    flags = {module: module.training for module in model.modules()}
    for module in flags:
        module.training = False
    try:
        yield
    finally:
        for module, flag in flags.items():
            module.training = flag
