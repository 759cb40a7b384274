"""Backbones that mmpretrain lacks."""

from .cifar_resnet import CIFARResNet
from .mobilenet_v1 import MobileNetV1

__all__ = ['CIFARResNet', 'MobileNetV1']
