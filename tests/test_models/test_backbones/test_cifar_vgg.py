"""VGGs for small images."""

import functools

import pytest
from cifar import check_outputs, check_public_network, check_taps_around_relus

from mmreviewkd.models import CIFARVGG


@pytest.mark.parametrize('name', ['vgg8', 'vgg13'])
def test_is_the_public_network(name):
    check_public_network(name)


@pytest.mark.parametrize('name', ['vgg8', 'vgg13'])
def test_a_training_step_reads_features_before_and_after_relus(name):
    check_taps_around_relus(name)


def test_outputs_the_stages_asked_for():
    check_outputs(functools.partial(CIFARVGG, 8), (64, 128, 256, 512, 512))


@pytest.mark.parametrize('depth', [11, 3])
def test_impossible_depths_are_named(depth):
    with pytest.raises(ValueError, match=r'depth must be 5n \+ 3'):
        CIFARVGG(depth)
