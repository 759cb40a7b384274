"""The distillation pairs and feature pyramids that the benchmark measures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor

from mmreviewkd.apis import read_config
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.config import without_pretrained

Batch = tuple[Tensor, list]


@dataclass(frozen=True)
class Pair:
    """A student, its teacher and a batch to train on.

    Args:
        distiller (Callable): Returns the distiller's model dict, for randomly initialized weights.
        batch (Callable): Returns images ``[N, C, H, W]`` and their data samples on a device.
        scope (str): The default scope that both are built in. Defaults to 'mmpretrain'.
    """

    distiller: Callable[[], dict]
    batch: Callable[[torch.device], Batch]
    scope: str = 'mmpretrain'


def pair_of_config(path: str) -> Pair:
    """The pair of a distillation config, on a batch of its own training data.

    Args:
        path (str): A path, or ``'package::path/of/config.py'``.
    """
    scope = read_config(path).get('default_scope', 'mmengine')
    return Pair(partial(distiller_of_config, path), partial(batch_of_config, path), scope)


def distiller_of_config(path: str) -> dict:
    """The distiller of a config, with its teacher and student randomly initialized."""
    config = read_config(path)
    model = config.model
    model.setdefault('data_preprocessor', config.get('data_preprocessor'))
    model.teacher.checkpoint = 'init_cfg'
    return without_pretrained(model)


def batch_of_config(path: str, device: torch.device) -> Batch:
    """The first batch of a config's own training loader, as its model preprocesses it."""
    config = read_config(path)
    loader = {**config.train_dataloader, 'num_workers': 0, 'persistent_workers': False}
    preprocessor = MODELS.build(distiller_of_config(path)).data_preprocessor.to(device)
    packed = preprocessor(next(iter(Runner.build_dataloader(loader, seed=0))), training=True)
    return packed['inputs'], packed['data_samples']


def steps_of_run(path: str) -> int:
    """The number of training steps of a config's whole run, on one device."""
    config = read_config(path)
    if 'max_iters' in config.train_cfg:
        return config.train_cfg.max_iters
    loader = {**config.train_dataloader, 'num_workers': 0, 'persistent_workers': False}
    return config.train_cfg.max_epochs * len(Runner.build_dataloader(loader, seed=0))


def _images(count: int, side: int, classes: int, device: torch.device, channels: int = 3) -> Batch:
    from mmpretrain.structures import DataSample
    samples = [DataSample().set_gt_label(i % classes).to(device) for i in range(count)]
    return torch.randn(count, channels, side, side, device=device), samples


def _scenes(device: torch.device) -> Batch:
    from mmdet.testing import demo_mm_inputs
    packed = demo_mm_inputs(8, [[3, 96, 96]] * 8, num_items=[4] * 8, num_classes=10, with_mask=True)
    samples = [sample.to(device) for sample in packed['data_samples']]
    for sample in samples:
        sample.set_metainfo(dict(batch_input_shape=(96, 96), pad_shape=(96, 96)))
    return torch.randn(8, 3, 96, 96, device=device), samples


def _classifier(backbone: dict, channels: int, classes: int) -> dict:
    return dict(
        type='ImageClassifier', backbone=backbone, neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=classes, in_channels=channels,
                  loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))


def _cifar_resnet(depth: int, widths: tuple[int, ...]) -> dict:
    return _classifier(dict(type='mmreviewkd.CIFARResNet', depth=depth, widths=widths), widths[-1], 100)


def _resnet(depth: int, channels: int) -> dict:
    return _classifier(dict(type='ResNet', depth=depth, num_stages=4, out_indices=(3,)), channels, 1000)


def _distiller(
        student: dict, student_taps: list[str], teacher: dict, teacher_taps: list[str], **connector: Any) -> dict:
    return dict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=student, taps=student_taps),
        teacher=dict(model=teacher, taps=teacher_taps, checkpoint='init_cfg'),
        connector=dict(type='ReviewConnector', **connector))


def _stages(count: int, end: str = '') -> list[str]:
    return [*(f'backbone.layer{i}{end}' for i in range(1, count + 1)), 'neck']


def _cifar_pair(student: tuple, teacher: tuple) -> dict:
    return _distiller(
        _cifar_resnet(*student), _stages(3), _cifar_resnet(*teacher), _stages(3, _BEFORE_RELU))


def _imagenet_pair(student: dict, teacher: dict, **connector: Any) -> dict:
    return _distiller(student, _stages(4, _BEFORE_RELU), teacher, _stages(4, _BEFORE_RELU), **connector)


_BEFORE_RELU = '[-1].relu:input'
_NARROW, _WIDE = (16, 16, 32, 64), (32, 64, 128, 256)

PAIRS = {
    'cifar-resnet32x4-8x4': Pair(partial(_cifar_pair, (8, _WIDE), (32, _WIDE)), partial(_images, 64, 32, 100)),
    'cifar-resnet56-20': Pair(partial(_cifar_pair, (20, _NARROW), (56, _NARROW)), partial(_images, 64, 32, 100)),
    'imagenet-resnet34-18': Pair(
        partial(_imagenet_pair, _resnet(18, 512), _resnet(34, 512)), partial(_images, 8, 224, 1000)),
    'imagenet-resnet50-mobilenetv1': Pair(
        partial(_imagenet_pair, _classifier(dict(type='mmreviewkd.MobileNetV1'), 1024, 1000), _resnet(50, 2048),
                mid_channels=256),
        partial(_images, 8, 224, 1000)),
    'fashion-resnet14-8': Pair(
        partial(distiller_of_config, 'mmreviewkd::fashion_mnist/resnet8_review-resnet14.py'),
        partial(_images, 128, 28, 10, channels=1)),
    'fashion-mask-rcnn-r34-r18': Pair(
        partial(distiller_of_config, 'mmreviewkd::fashion_scenes/mask-rcnn_r18_review-r34.py'), _scenes, 'mmdet'),
}
# Sizes (H, W) of the levels of a feature pyramid of 256 channels.
PYRAMIDS = {
    'fpn-512x512': [(128, 128), (64, 64), (32, 32), (16, 16), (8, 8)],
    'fpn-800x1216': [(200, 304), (100, 152), (50, 76), (25, 38), (13, 19)],
}
