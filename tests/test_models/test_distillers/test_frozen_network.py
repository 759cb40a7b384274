"""A network that only gives features, whatever its owner does."""

import copy
import pickle

import pytest
import torch
from torch import nn

from mmreviewkd.models.distillers.frozen_convolution import FrozenConv2d
from mmreviewkd.models.distillers.frozen_network import FrozenNetwork
from mmreviewkd.models.taps import FeatureTaps
from mmreviewkd.models.taps.probe import probe


class Network(nn.Module):
    """Draws random numbers in eval mode, and counts how far it runs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)
        self.heads = 0

    def forward(self, images):
        features = self.norm(self.conv(images)) + 0 * torch.rand(1)
        self.heads += 1
        return self.head(features.mean((2, 3)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = Network().train()
    model.norm.running_mean.normal_()
    return model


def frozen(model, like=None, **options):
    taps = FeatureTaps(['norm'])
    return FrozenNetwork(copy.deepcopy(model), taps, probe(model, taps), like or nn.Conv2d(1, 1, 1), **options)


@pytest.mark.parametrize('optimize', [False, True])
def test_gives_the_features_of_the_network_in_eval_mode_up_to_the_tap(network, optimize):
    images = torch.randn(2, 3, 16, 16)
    found = frozen(network, optimize=optimize)
    heads = found.model.heads
    level, = found.levels(images)
    torch.testing.assert_close(level, network.eval().norm(network.conv(images)), rtol=1e-4, atol=1e-5)
    assert found.model.heads == heads and not level.requires_grad
    assert isinstance(found.model.norm, nn.Identity) == optimize


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_convolutions_by_winograds_algorithm_are_as_exact_as_others(memory_format):
    torch.manual_seed(0)
    model = nn.Sequential(*(
        nn.Sequential(nn.Conv2d(channels, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU()) for channels in [3] + [32] * 8))
    images, taps = torch.randn(4, 3, 20, 20), FeatureTaps(['5', '8'])
    found = FrozenNetwork(copy.deepcopy(model), taps, probe(model, taps), nn.Conv2d(1, 1, 1))
    found.apply(lambda network: network.to(memory_format=memory_format))
    assert sum(isinstance(module, FrozenConv2d) for module in found.model.modules()) == 8
    exact = FrozenNetwork(copy.deepcopy(model), taps, probe(model, taps), nn.Conv2d(1, 1, 1).double(), optimize=False)
    for level, expected in zip(found.levels(images), exact.levels(images.double())):
        torch.testing.assert_close(level.double(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_draws_no_random_numbers_and_is_no_part_of_its_owner(network):
    found = frozen(network)
    state = torch.get_rng_state()
    found.levels(torch.randn(1, 3, 16, 16, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), state)
    assert not isinstance(found, nn.Module) and copy.deepcopy(found).model is found.model


def test_has_the_dtype_of_the_student_and_runs_in_a_precision_of_its_own(network):
    assert next(frozen(network, nn.Linear(1, 1).double()).model.parameters()).dtype == torch.float64
    level, = frozen(network, autocast=torch.bfloat16, optimize=True).levels(torch.ones(1, 3, 16, 16))
    assert level.dtype == torch.bfloat16


def test_compiled_it_gives_the_same(network):
    images = torch.randn(2, 3, 16, 16)
    compiled = frozen(network, compile_options=dict(backend='eager'))
    assert compiled.compiled
    torch.testing.assert_close(compiled.levels(images), frozen(network).levels(images))


def test_a_moved_copy_can_be_pickled(network):
    moved = copy.deepcopy(frozen(network))
    moved.apply(lambda model: model.double())
    pickled = pickle.loads(pickle.dumps(moved))
    assert next(pickled.model.parameters()).dtype == torch.float64
    assert all(torch.equal(a, b) for a, b in zip(pickled.model.parameters(), moved.model.parameters()))
