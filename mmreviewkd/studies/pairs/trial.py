"""Try one pair: build it with ``taps='auto'``, take a step, compare with the student alone, and export."""

import copy
import gc
import random
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmreviewkd.apis.training_image import images_of
from mmreviewkd.engine.export import export_student
from mmreviewkd.models.build import build_model
from mmreviewkd.utils.config import model_config, without_pretrained
from mmreviewkd.utils.config_values import found_values
from mmreviewkd.utils.first_iteration import first_iteration
from mmreviewkd.utils.quiet import only_warnings_logged

from .families import Network

_IMAGES = 2
_REGIONS = 16
_POINTS = 512


@dataclass(frozen=True)
class Outcome:
    """The outcome of a pair's checks.

    Args:
        student (str): The student's family.
        teacher (str): The teacher's family.
        levels (int): Number of levels that are compared; 0 if the pair does not build.
        failed (str): The first check that failed and why; empty if all passed.
    """

    student: str
    teacher: str
    levels: int
    failed: str = ''


class _CheckFailed(Exception):
    """Raised with a message if a check fails."""


def try_pair(student: Network, teacher: Network) -> Outcome:
    """Check that a pair distils without a hand-written tap; random weights, two images of noise.

    Checked are, in this order: the student trains alone; the pair builds; a step gives finite losses; the distillation
    loss gives finite gradients, not all zero, to the student; the student's own losses are equal, bit for bit, to those
    of the student alone with the same seed and data; the export loads with strict keys, but for those that the model
    itself deletes while it loads.

    Args:
        student (Network): The student.
        teacher (Network): The teacher.
    """
    levels, check = 0, 'the student alone'
    try:
        with DefaultScope.overwrite_default_scope(student.package), only_warnings_logged():
            own = _untrained(student)
            plain = _started(own)
            data = _batch(own, student, teacher)
            with first_iteration():
                image = tuple(images_of(plain.data_preprocessor(copy.deepcopy(data), training=True)).shape[1:])
            expected = {key: value.detach() for key, value in _losses(plain, data).items()}
            del plain
            check = 'builds'
            config = ConfigDict(
                type='mmreviewkd.ReviewDistiller', student=dict(model=own, taps='auto'),
                teacher=dict(model=_untrained(teacher), checkpoint='init_cfg', taps='auto'),
                connector=dict(type='ReviewConnector', mid_channels=32), image_shape=image)
            distiller = _started(config)
            levels = len(distiller.frozen_teacher.probe().names)
            check = 'finite losses'
            losses = _losses(distiller, data)
            _check_finite(losses)
            check = 'finite gradients'
            _check_gradients(distiller, losses)
            check = "student's own losses"
            _check_same(expected, losses)
            check = 'export'
            _check_export(config, distiller, student)
    except _CheckFailed as error:
        return Outcome(student.name, teacher.name, levels, f'{check}: {error}')
    except Exception as error:
        reason = ' '.join(str(error).split()) or 'no message'
        return Outcome(student.name, teacher.name, levels, f'{check}: {type(error).__name__}: {reason:.200}')
    finally:
        gc.collect()
    return Outcome(student.name, teacher.name, levels)


def _untrained(network: Network) -> ConfigDict:
    config = without_pretrained(model_config(network.config, network.name))
    # mmpretrain cannot train LeViT and EfficientFormer with the second classifier that its configs give them.
    if config.get('head', {}).get('type') in ('LeViTClsHead', 'EfficientFormerClsHead'):
        config.head.distillation = False
    _reduce_samples(config.get('train_cfg'))
    return config


def _reduce_samples(train_cfg: object) -> None:
    """Reduce the regions and mask points that a detector samples for training, which makes a step much shorter."""
    if isinstance(train_cfg, dict) and 'num_points' in train_cfg:
        train_cfg['num_points'] = min(train_cfg['num_points'], _POINTS)
    for sampler in found_values(train_cfg, 'sampler'):
        if isinstance(sampler, dict) and 'num' in sampler:
            sampler['num'] = min(sampler['num'], _REGIONS)


def _seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def _started(config: ConfigDict) -> nn.Module:
    _seed()
    model = build_model(copy.deepcopy(config), 'model')
    model.init_weights()
    return model.train()


def _losses(model: nn.Module, data: dict) -> dict[str, Tensor]:
    """The losses of a training step by name, each as one tensor, with random numbers that start from the same seed."""
    _seed()
    with first_iteration():
        data = model.data_preprocessor(copy.deepcopy(data), training=True)
        losses = model(**data, mode='loss')
    return {key: sum(value) if isinstance(value, (list, tuple)) else value for key, value in losses.items()}


def _batch(model: ConfigDict, network: Network, teacher: Network) -> dict:
    """Two images of noise with labels, as a data loader gives them, of a size that both take."""
    _seed()
    classes = found_values(model, 'num_classes') + found_values(model, 'num_things_classes')
    side = teacher.side if teacher.fixed and not network.fixed else network.side
    if network.package == 'mmdet':
        from mmdet.testing import demo_mm_inputs
        panoptic = bool(found_values(model, 'num_stuff_classes')) and max(found_values(model, 'num_stuff_classes')) > 0
        shape = (3, side, side)
        return demo_mm_inputs(
            batch_size=_IMAGES, image_shapes=[shape] * _IMAGES, num_items=[3] * _IMAGES, num_classes=min(classes),
            with_mask=bool(re.search('mask_head|loss_mask', str(model))), with_semantic=panoptic)
    from mmpretrain.structures import DataSample
    sides = [side for side in found_values(model.backbone, 'img_size') if isinstance(side, int)]
    side = max(sides, default=side)
    channels = len(model.get('data_preprocessor', {}).get('mean', [0, 0, 0]))
    return dict(
        inputs=torch.randint(0, 256, (_IMAGES, channels, side, side), dtype=torch.uint8),
        data_samples=[DataSample().set_gt_label(i) for i in range(_IMAGES)])


def _check_finite(losses: dict[str, Tensor]) -> None:
    wrong = [key for key, value in losses.items() if not value.isfinite().all()]
    if wrong:
        raise _CheckFailed(f'{", ".join(wrong)} not finite')


def _check_gradients(distiller: nn.Module, losses: dict[str, Tensor]) -> None:
    parameters = {name: p for name, p in distiller.student.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(
        losses['loss_distill'], list(parameters.values()), retain_graph=True, allow_unused=True)
    reached = {name: value for name, value in zip(parameters, gradients) if value is not None}
    wrong = [name for name, value in reached.items() if not value.isfinite().all()]
    if wrong:
        raise _CheckFailed(f'{len(wrong)} of {len(reached)} not finite, such as {wrong[0]}')
    if not any(value.any() for value in reached.values()):
        raise _CheckFailed('the distillation loss reaches no parameter of the student')
    distiller.parse_losses(losses)[0].backward()
    wrong = [name for name, p in parameters.items() if p.grad is not None and not p.grad.isfinite().all()]
    if wrong:
        raise _CheckFailed(f'{len(wrong)} of the total loss are not finite, such as {wrong[0]}')


def _check_same(expected: dict[str, Tensor], losses: dict[str, Tensor]) -> None:
    for key, value in expected.items():
        name = 'loss_student' if key == 'loss' else key
        if name not in losses or not torch.equal(losses[name], value):
            raise _CheckFailed(f'{key} is {losses.get(name)}, not {value}')


def _check_export(config: ConfigDict, distiller: nn.Module, student: Network) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cfg = Config(dict(model=config.to_dict(), default_scope=student.package))
        file = export_student(cfg, distiller.state_dict(), folder)
        model = build_model(Config.fromfile(file).model, 'model')
        state = torch.load(Path(folder) / 'student.pth', weights_only=True)['state_dict']
        # Swin Transformer V2 deletes buffers from whatever it loads, and so misses them in its own weights as well.
        own, exported = (model.load_state_dict(dict(weights), strict=False) for weights in (model.state_dict(), state))
    if exported != own:
        raise _CheckFailed(f'missing {exported.missing_keys[:3]}, unexpected {exported.unexpected_keys[:3]}')
