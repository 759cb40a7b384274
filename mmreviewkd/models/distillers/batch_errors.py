"""Explain errors that unsuitable images or labels cause deep inside a network."""

import contextlib
import re
from collections.abc import Iterator, Sequence

from torch import Tensor

from mmreviewkd.models.taps.model_inputs import images_in
from mmreviewkd.utils.errors import ConfigError

_TOO_SMALL = ('too small', 'greater than actual input size')
_NO_STATISTICS = 'Expected more than 1 value per channel'
_ONE_PIXEL = re.compile(r'Expected more than 1 value per channel.*\[1, \d+, 1, 1\]')
# Of torch's convolutions and losses.
_CHANNELS = re.compile(r'expected input\[.*\] to have (?P<taken>\d+) channels, but got (?P<given>\d+) channels')
_LABEL = re.compile(r'Target (?P<label>-?\d+) is out of bounds')


@contextlib.contextmanager
def batch_errors_named(images: Tensor | Sequence[Tensor], whose: str) -> Iterator[None]:
    """Turn errors caused by the images or labels of a batch into a ConfigError.

    Args:
        images (Tensor or Sequence[Tensor]): The batch, ``[N, C, H, W]``, a dict with it, or a list of images
            ``[C, H, W]``.
        whose (str): The model that runs, 'student' or 'teacher', for messages.

    Raises:
        ConfigError: If a level has less than one pixel, a normalization layer gets one value per channel, the model
            takes images of another number of channels, or a label is not among its classes.
    """
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        message = str(error).splitlines()[0] if str(error) else ''
        images = images if isinstance(images, (list, tuple)) else images_in(images)
        images = () if images is None else images
        label, channels = _LABEL.search(message), _CHANNELS.search(message)
        if label:
            raise ConfigError(
                f'the training data have the label {label["label"]}, which is not among the classes of the {whose}; '
                f"set num_classes of the {whose}'s head to the number of classes of the data ({message})") from error
        if channels and {str(image.shape[-3]) for image in images if image.dim() > 2} == {channels['given']}:
            raise ConfigError(
                f'the {whose} takes images of {channels["taken"]} channels, but the training data have '
                f'{channels["given"]}; set in_channels of its backbone, or load images of as many channels '
                f'({message})') from error
        if _NO_STATISTICS in message and len(images) == 1:
            raise ConfigError(
                'a batch of one image has a level of 1 x 1 pixel, of which batch normalization cannot compute '
                'statistics; set train_dataloader.drop_last=True to leave out a last batch of one image, or '
                f'train_dataloader.batch_size > 1 ({message})') from error
        if not _ONE_PIXEL.search(message) and not any(hint in message for hint in _TOO_SMALL):
            raise
        raise ConfigError(
            f'{_described(images)} make a level smaller than 1 pixel; use larger images in the training pipeline, or '
            f'fewer levels ({message})') from error


def _described(images: Tensor | Sequence[Tensor]) -> str:
    sizes = {tuple(image.shape[-2:]) for image in images if isinstance(image, Tensor) and image.dim() > 1}
    return f'images of {" or ".join(f"{h} x {w}" for h, w in sorted(sizes))} pixels' if sizes else 'these images'
