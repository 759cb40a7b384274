"""The ResNets for small images."""

import pytest
import torch
from cifar import check_public_network, check_taps_around_relus
from mmengine.registry import MODELS

from mmreviewkd.models import CIFARResNet

# mmpretrain's own ResNet-50 is among the teachers.
NETWORKS = ['resnet20', 'resnet32', 'resnet56', 'resnet110', 'resnet8x4', 'resnet32x4', 'resnet50']


@pytest.mark.parametrize('name', NETWORKS)
def test_is_the_public_network(name):
    check_public_network(name)


@pytest.mark.parametrize('name', NETWORKS)
def test_a_training_step_reads_features_before_and_after_relus(name):
    check_taps_around_relus(name)


@pytest.mark.parametrize(('depth', 'widths', 'parameters'), [
    (20, (16, 16, 32, 64), 278324 - 6500), (56, (16, 16, 32, 64), 861620 - 6500),
    (8, (32, 64, 128, 256), 1233540 - 25700)])
def test_has_the_parameters_of_the_published_networks(depth, widths, parameters):
    """The published counts, less those of a classifier of 100 classes."""
    assert sum(p.numel() for p in CIFARResNet(depth, widths).parameters()) == parameters


@pytest.mark.parametrize('pixels', [28, 32])
def test_gives_three_stages(pixels):
    model = MODELS.build(dict(type='mmreviewkd.CIFARResNet', depth=8, in_channels=1, out_indices=(0, 1, 2)))
    shapes = [tuple(f.shape) for f in model(torch.zeros(2, 1, pixels, pixels))]
    assert shapes == [(2, 16, pixels, pixels), (2, 32, pixels // 2, pixels // 2), (2, 64, pixels // 4, pixels // 4)]


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(depth=18), '6n'), (dict(depth=2), '6n'), (dict(depth=8, widths=(1, 2, 3)), 'four'),
    (dict(depth=8, out_indices=(3,)), 'out_indices')])
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        CIFARResNet(**arguments)
