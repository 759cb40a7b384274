"""Draw the levels of a few fixed images while training."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn

from mmreviewkd.engine.distiller_of import distiller_of
from mmreviewkd.engine.level_picture import draw_levels
from mmreviewkd.models.distillers.level_views import level_views
from mmreviewkd.registry import HOOKS
from mmreviewkd.utils.checks import flag, number
from mmreviewkd.utils.errors import strict_keys
from mmreviewkd.utils.random import preserved_random_state

_DRAWINGS = 10


@HOOKS.register_module()
@strict_keys
class LevelPicturesHook(Hook):
    """Draw a few fixed images' levels: attention maps, and the student's and the teacher's features side by side.

    The images are spread evenly over the validation set, or over the training set of a run that does not validate. They
    are drawn before the first iteration and every ``interval`` epochs or iterations, as ``levels_image1`` and so on,
    and the mean distance of each level is logged as ``distance/level1`` (the finest) and so on: the distillation loss
    of the level with weight 1. Both go to all backends of the visualizer. The training itself is not changed.

    Args:
        interval (int, optional): Epochs or iterations between two drawings. Defaults to a tenth of the run.
        by_epoch (bool, optional): Whether the interval counts epochs. Defaults to whether the training loop does.
        num_images (int): The number of images. Defaults to 3.

    Raises:
        ConfigError: If an argument is not a positive integer, or ``by_epoch`` not True or False.
    """

    def __init__(self, interval: int | None = None, by_epoch: bool | None = None, num_images: int = 3) -> None:
        if interval is not None:
            number(interval, 'LevelPicturesHook: interval', at_least=1, integer=True)
        self.interval = interval
        self.by_epoch = by_epoch if by_epoch is None else flag(by_epoch, 'LevelPicturesHook: by_epoch')
        self.num_images = number(num_images, 'LevelPicturesHook: num_images', at_least=1, integer=True)
        self._samples: list[dict] = []

    def before_train(self, runner: Runner) -> None:
        """Load the images and draw them for the first time; warn if they are no single tensors ``[C, H, W]``.

        Raises:
            ConfigError: If the model is not a ReviewDistiller.
        """
        distiller_of(runner, type(self).__name__)
        if self.by_epoch is None:
            self.by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        if self.interval is None:
            self.interval = max(1, (runner.max_epochs if self.by_epoch else runner.max_iters) // _DRAWINGS)
        if not is_main_process():
            return
        loader = runner.train_dataloader if runner.val_loop is None else runner.val_loop.dataloader
        count = min(self.num_images, len(loader.dataset))
        with preserved_random_state():
            self._samples = [loader.dataset[i * len(loader.dataset) // count] for i in range(count)]
        if not all(isinstance(sample.get('inputs'), Tensor) for sample in self._samples):
            print_log(
                'LevelPicturesHook draws nothing: the data set gives several views of each image', 'current',
                logging.WARNING)
            self._samples = []
        self._draw(runner, runner.epoch if self.by_epoch else runner.iter)

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw if it is due."""
        if self.by_epoch and self.every_n_epochs(runner, self.interval):
            self._draw(runner, runner.epoch + 1)

    def after_train_iter(
            self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None) -> None:
        """Draw if it is due."""
        if not self.by_epoch and self.every_n_train_iters(runner, self.interval):
            self._draw(runner, runner.iter + 1)

    def _draw(self, runner: Runner, step: int) -> None:
        """Draw one image at a time, which bounds the memory; other processes than the first draw nothing."""
        distiller = distiller_of(runner, type(self).__name__)
        distances = []
        for number_, sample in enumerate(self._samples, start=1):
            with preserved_random_state():
                data = distiller.data_preprocessor(pseudo_collate([sample]), False)
                views = level_views(distiller, data['inputs'], data.get('data_samples'))
            if not views:
                return
            unit = 'epoch' if self.by_epoch else 'iteration'
            picture = draw_levels(
                _as_rgb(sample, distiller.data_preprocessor), views, f'image {number_}, {unit} {step}')
            runner.visualizer.add_image(f'levels_image{number_}', picture, step)
            distances.append(torch.stack([view.distance.float() for view in views]))
        if distances:
            means = torch.stack(distances).mean(0).tolist()
            runner.visualizer.add_scalars(
                {f'distance/level{level}': mean for level, mean in enumerate(means, start=1) if not math.isnan(mean)},
                step=step)


def _as_rgb(sample: dict, preprocessor: nn.Module) -> np.ndarray:
    """The image ``[H, W, 3]`` of a sample ``[C, H, W]`` as the data set gives it."""
    image = sample['inputs'].float()
    if image.min() < 0 or not 1 < image.max() <= 255:  # no longer raw pixels
        image = 255 * (image - image.min()) / (image.max() - image.min()).clamp(min=1e-6)
    if len(image) == 3 and (_is_from_file(sample) or _reverses_channels(preprocessor)):
        image = image.flip(0)
    elif len(image) != 3:
        image = image[:1].expand(3, -1, -1)
    return image.byte().permute(1, 2, 0).contiguous().numpy()


def _is_from_file(sample: dict) -> bool:
    """Whether the image was read by OpenMMLab's loading, which gives BGR."""
    samples: Any = sample.get('data_samples')
    return bool(samples) and not isinstance(samples, Sequence) and bool(samples.get('img_path'))


def _reverses_channels(preprocessor: nn.Module) -> bool:
    preprocessor = getattr(preprocessor, 'data_preprocessor', preprocessor)
    return any(getattr(preprocessor, name, False) for name in ('_channel_conversion', 'channel_conversion', 'to_rgb'))
