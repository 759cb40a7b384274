"""Backbones that mmpretrain and mmdet lack."""

import contextlib

from .cifar_mobilenet_v2 import CIFARMobileNetV2
from .cifar_resnet import CIFARResNet
from .cifar_shufflenet_v1 import CIFARShuffleNetV1
from .cifar_shufflenet_v2 import CIFARShuffleNetV2
from .cifar_vgg import CIFARVGG
from .cifar_wide_resnet import CIFARWideResNet
from .mobilenet_v1 import MobileNetV1

__all__ = [
    'CIFARVGG', 'CIFARMobileNetV2', 'CIFARResNet', 'CIFARShuffleNetV1', 'CIFARShuffleNetV2', 'CIFARWideResNet',
    'MobileNetV1'
]

# Needs mmdet, whose detectors use it, and whose import can fail in any way beside libraries of other versions.
with contextlib.suppress(Exception):
    from .mobilenet_v2_stages import MobileNetV2Stages
    __all__ += ['MobileNetV2Stages']
