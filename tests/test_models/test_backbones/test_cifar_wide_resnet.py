"""Wide ResNets for small images."""

import functools

import pytest
from cifar import check_outputs, check_public_network, check_taps_around_relus

from mmreviewkd.models import CIFARWideResNet


@pytest.mark.parametrize('name', ['wrn_16_2', 'wrn_40_1', 'wrn_40_2'])
def test_is_the_public_network(name):
    check_public_network(name)


@pytest.mark.parametrize('name', ['wrn_16_2', 'wrn_40_1', 'wrn_40_2'])
def test_a_training_step_reads_features_before_and_after_relus(name):
    check_taps_around_relus(name)


def test_outputs_the_stages_asked_for():
    check_outputs(functools.partial(CIFARWideResNet, 10, 1), (16, 32, 64))


@pytest.mark.parametrize('depth', [18, 4])
def test_impossible_depths_are_named(depth):
    with pytest.raises(ValueError, match=r'depth must be 6n \+ 4'):
        CIFARWideResNet(depth, 2)
