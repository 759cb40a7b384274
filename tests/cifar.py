"""The networks of CIFAR-100, as the configs build them and as public checkpoints have them, with shared checks."""

import copy
import functools
import json
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from conftest import DATA, ROOT
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmreviewkd.models import FeatureTaps
from mmreviewkd.utils.checkpoint import load_weights
from mmreviewkd.utils.convert_checkpoint import convert_state

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


def check_public_network(name: str) -> None:
    """Check that a network computes what its public version does, from public weights and in double precision."""
    expected, (_, stages, before_relu) = reference(name), NETWORKS[name]
    model = network(name).double().eval()
    assert sum(p.numel() for p in model.parameters()) == expected['params']
    load_weights(model, convert_state(model, public_state(name))[0], name)
    for key, taps in (('feats', stages), ('preact_feats', before_relu)):
        taps = FeatureTaps([*taps, 'neck', 'head.fc'])
        with torch.no_grad(), taps.record(model) as recording:
            model(reference_images())
        *levels, pooled, logits = recording.features()
        for feature, wanted in zip(levels, expected[key][len(expected[key]) - len(levels):]):
            assert list(feature.shape[1:]) == wanted['shape']
            assert wanted['mean_std'] == _statistics(feature)
        assert expected['pooled']['mean_std'] == _statistics(pooled)
        assert expected['logits'] == pytest.approx(logits.flatten()[:10].tolist(), rel=1e-9, abs=1e-9)
        assert expected['logits_std'] == pytest.approx(logits.std().item(), rel=1e-9)


def _statistics(feature: Tensor) -> object:
    return pytest.approx([feature.mean().item(), feature.std().item()], rel=1e-9)


def check_taps_around_relus(name: str) -> None:
    """Check that features before and after in-place ReLUs are those of one training pass, and train the network."""
    _, stages, before_relu = NETWORKS[name]
    model = network(name).train()
    taps = FeatureTaps([*stages, *before_relu])
    with taps.record(model) as recording:
        model(reference_images().float())
    features = recording.features()
    sum(feature.square().mean() for feature in features).backward()
    assert all(parameter.grad is not None for parameter in model.backbone.layer1.parameters())
    before, after = features[len(stages):], features[:len(stages)]
    assert all((feature < 0).any() for feature in before)
    # A Wide ResNet has the last ReLU of a stage inside the next one.
    if before and not name.startswith('wrn'):
        for low, high in zip(before, after):
            torch.testing.assert_close(
                low.relu().flatten(1).sort().values, high.flatten(1).sort().values)


def check_outputs(build: Callable[..., nn.Module], channels: Sequence[int]) -> None:
    """Check that a backbone outputs the stages that ``out_indices`` names, and by default the last one.

    Args:
        build (Callable): Builds it with further settings.
        channels (Sequence[int]): Channels of all of its stages.
    """
    image = torch.zeros(2, 1, 32, 32)
    stages = build(in_channels=1, out_indices=range(len(channels))).eval()(image)
    assert tuple(stage.shape[1] for stage in stages) == tuple(channels)
    last, = build(in_channels=1).eval()(image)
    assert last.shape == stages[-1].shape
    with pytest.raises(ValueError, match='out_indices'):
        build(out_indices=(len(channels),))
