"""Explain errors that a batch of unsuitable size causes deep inside a network."""

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor

from mmreviewkd.models.taps.model_inputs import images_in
from mmreviewkd.utils.errors import ConfigError

_TOO_SMALL = ('too small', 'greater than actual input size')
_NO_STATISTICS = 'Expected more than 1 value per channel'


@contextlib.contextmanager
def batch_errors_named(images: Tensor | Sequence[Tensor]) -> Iterator[None]:
    """Turn errors caused by too small images or a batch of one image into a ConfigError.

    Args:
        images (Tensor or Sequence[Tensor]): The batch, ``[N, C, H, W]``, a dict with it, or a list of images
            ``[C, H, W]``.

    Raises:
        ConfigError: If a level has less than one pixel, or a normalization layer gets one value per channel.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        message = str(error).splitlines()[0] if str(error) else ''
        images = images if isinstance(images, (list, tuple)) else images_in(images)
        images = () if images is None else images
        if _NO_STATISTICS in message and len(images) == 1:
            raise ConfigError(
                'a batch of one image has a level of 1 x 1 pixel, of which batch normalization cannot compute '
                'statistics; set train_dataloader.drop_last=True to leave out a last batch of one image, or '
                f'train_dataloader.batch_size > 1 ({message})') from error
        if _NO_STATISTICS not in message and not any(hint in message for hint in _TOO_SMALL):
            raise
        raise ConfigError(
            f'{_described(images)} make a level smaller than 1 pixel; use larger images in the training pipeline, or '
            f'fewer levels ({message})') from error


def _described(images: Tensor | Sequence[Tensor]) -> str:
    sizes = {tuple(image.shape[-2:]) for image in images if isinstance(image, Tensor) and image.dim() > 1}
    return f'images of {" or ".join(f"{h} x {w}" for h, w in sorted(sizes))} pixels' if sizes else 'these images'
