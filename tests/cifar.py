"""The networks of CIFAR-100: as the project's configs build them, and as public checkpoints hold them."""

import copy
import functools
import json
import math

import pytest
import torch
from conftest import DATA, ROOT
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor, nn

pytest.importorskip('mmpretrain')  # the networks are its ImageClassifier

CONFIGS = ROOT / 'configs' / 'cifar100'
# By the names of the reference file: the config of each, and its taps after and before the ReLU of its stages.
_THREE, _FOUR = [[f'backbone.layer{i}' for i in range(1, stages + 1)] for stages in (3, 4)]
_VGG = [f'backbone.layer{i}' for i in (2, 3, 4, 5)]
_WRN = ['backbone.layer2[0].relu1:input', 'backbone.layer3[0].relu1:input', 'backbone.norm[1]:input']


def _before_relu(stages: list[str]) -> list[str]:
    return [f'{stage}[-1].relu:input' for stage in stages]


NETWORKS = {
    **{name: (name, _THREE, _before_relu(_THREE))
       for name in ('resnet20', 'resnet32', 'resnet56', 'resnet110', 'resnet8x4', 'resnet32x4')},
    **{name: (name.replace('_', '-'), _THREE, _WRN) for name in ('wrn_16_2', 'wrn_40_1', 'wrn_40_2')},
    **{name: (name, _VGG, [f'{stage}[-1]:input' for stage in _VGG]) for name in ('vgg8', 'vgg13')},
    'mobilenetv2': ('mobilenet-v2', [f'backbone.layer{i}' for i in (2, 3, 5, 7)], []),
    'shufflev1': ('shufflenet-v1', _THREE, _before_relu(_THREE)),
    'shufflev2': ('shufflenet-v2', _THREE, _before_relu(_THREE)),
    'resnet50': ('resnet50', _FOUR, _before_relu(_FOUR)),
}


@functools.cache
def _parsed(name: str) -> Config:
    return Config.fromfile(CONFIGS / f'{name}.py')


def cifar_config(name: str) -> Config:
    """A config of configs/cifar100, to be changed at will."""
    return copy.deepcopy(_parsed(name))


def network(name: str) -> nn.Module:
    """A network of the reference file."""
    return MODELS.build(cifar_config(NETWORKS[name][0]).model)


@functools.cache
def reference(name: str) -> dict:
    """What the reference file says of a network."""
    return json.loads((DATA / 'reference' / 'cifar_zoo.json').read_text())[name]


def public_state(name: str) -> dict[str, Tensor]:
    """The weights of the reference file's networks, by the names in public checkpoints."""
    state = {}
    for index, (entry, shape) in enumerate(reference(name)['state_dict'].items()):
        layer_entry = entry.rpartition('.')[2]
        if layer_entry in ('weight', 'bias'):
            value = 0.05 * torch.sin(0.37 * torch.arange(math.prod(shape), dtype=torch.float64) + index)
            state[entry] = value.reshape(shape) + (layer_entry == 'weight' and len(shape) == 1)
        else:
            fill = dict(running_mean=0.0, running_var=1.0, num_batches_tracked=0)[layer_entry]
            state[entry] = torch.full(shape, fill, dtype=torch.float64 if shape else torch.int64)
    return state


def reference_images() -> Tensor:
    """The two images of the reference file, ``[2, 3, 32, 32]``."""
    return torch.sin(0.01 * torch.arange(2 * 3 * 32 * 32, dtype=torch.float64)).reshape(2, 3, 32, 32)
