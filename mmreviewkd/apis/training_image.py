"""Find the shape of the images that a config trains its model on."""

import logging
import random
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.model_inputs import grid_size
from mmreviewkd.utils.config import model_config
from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.first_iteration import first_iteration
from mmreviewkd.utils.quiet import only_warnings_logged
from mmreviewkd.utils.random import preserved_random_state

from .first_batch import NoBatchError, first_batch, made_up_batch
from .made_up_data import SOURCE_SIZES


def training_image(cfg: Config, model: ConfigDict, student: nn.Module) -> tuple[int, int, int] | None:
    """Return the shape of the images that a student is trained on, batch augmentations and padding included.

    Made-up images pass through the training pipeline and the data preprocessor, so no data set is read. Where the
    pipeline leaves images at the size of their files, the first batch of the data set tells, if it is on this machine.

    Args:
        cfg (Config): The student's config, or one with its ``train_dataloader``.
        model (ConfigDict): The config of the student.
        student (nn.Module): The student, whose data preprocessor is used.

    Returns:
        tuple[int, int, int] or None: ``(C, H, W)``. Of sizes that vary from batch to batch, one of them. None for a
        model of point clouds, whose voxels have a fixed size.

    Raises:
        NoBatchError: If there is neither a pipeline that accepts made-up images nor the data set.
        ConfigError: If the pipeline fails.
    """
    if cfg.get('train_dataloader') is None:
        raise NoBatchError('the config has no train_dataloader')
    if grid_size(student) is not None:
        return None
    scope = DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine'))
    with preserved_random_state(), scope, only_warnings_logged():
        for seed in (random.seed, np.random.seed, torch.manual_seed):  # the same on every machine and in every process
            seed(0)
        try:
            batch = made_up_batch(cfg, model, small=True)
            if tuple(images_of(batch).shape[-2:]) in SOURCE_SIZES:
                batch = first_batch(cfg, model).data
        except NoBatchError:
            batch = first_batch(cfg, model).data
        with torch.no_grad(), first_iteration():
            data = student.data_preprocessor(batch, training=True)
    return tuple(images_of(data).shape[-3:])


def add_training_image(cfg: Config) -> None:
    """Set ``model.image_shape`` of a distillation whose taps are 'auto', so that they are proposed at that size.

    Args:
        cfg (Config): The config of a distillation or of any other model; changed in place.

    Raises:
        ConfigError: If the student or the training pipeline cannot be built.
    """
    model = cfg.get('model') or {}
    student = model.get('student')
    if not isinstance(student, dict) or student.get('taps') != 'auto' or 'model' not in student \
            or model.get('image_shape'):
        return
    config = model_config(student['model'], 'student.model')
    if cfg.get('data_preprocessor'):
        config.setdefault('data_preprocessor', cfg.data_preprocessor)
    try:
        scope = DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine'))
        with preserved_random_state(), scope:
            model['image_shape'] = training_image(cfg, config, build_model(config, 'student.model'))
    except NoBatchError as error:
        print_log(
            f"taps='auto': the size of the training images is not known ({error}); model.image_shape=(C, H, W) sets it",
            'current', logging.WARNING)


def images_of(batch: Mapping) -> Tensor:
    """The images of a batch that a student is distilled on, ``[N, C, H, W]``, or the first one, ``[C, H, W]``.

    Of a batch of several branches, these are the images of ``unsup_student``, or else of the last branch. Of point
    clouds, it is the first tensor that describes them.

    Args:
        batch (Mapping): The batch, before or after the data preprocessor.

    Raises:
        ConfigError: If the batch has no images.
    """
    inputs = batch.get('inputs') if isinstance(batch, Mapping) else None
    if isinstance(inputs, Mapping) and inputs:
        inputs = inputs.get('unsup_student', list(inputs.values())[-1])
    found = next(_tensors(inputs), None)
    if found is None:
        raise ConfigError('train_dataloader: its batches have no images under the key `inputs`')
    return found


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, Mapping)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(item)
