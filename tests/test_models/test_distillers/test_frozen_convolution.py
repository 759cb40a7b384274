"""Frozen 3x3 convolutions compute what they computed before, by the Winograd algorithm where it applies."""

import copy
import pickle

import pytest
import torch
from adjoint import normal
from torch import nn
from torch.nn.utils import parametrizations

from mmreviewkd.models.distillers import frozen_convolution
from mmreviewkd.models.distillers.frozen_convolution import FrozenConv2d, freeze_convolutions


@pytest.fixture
def conv():
    torch.manual_seed(0)
    return freeze_convolutions(nn.Conv2d(32, 40, 3, padding=1))


@pytest.fixture
def images():
    return normal(2, 32, 18, 15).float()


@pytest.fixture
def calls(monkeypatch):
    """The number of Winograd convolutions."""
    made = []
    original = frozen_convolution.winograd_convolution

    def counted(*arguments):
        made.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(frozen_convolution, 'winograd_convolution', counted)
    return made


def exact(conv, images):
    return nn.functional.conv2d(
        images.double(), conv.weight.double(), None if conv.bias is None else conv.bias.double(), padding=1)


def assert_close(found, expected, rtol=2e-5):
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=rtol * float(expected.detach().abs().max()))


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_computes_the_convolution(bias, memory_format, images, calls):
    plain = nn.Conv2d(32, 40, 3, padding='same', bias=bias).to(memory_format=memory_format)
    images = images.contiguous(memory_format=memory_format)
    with torch.no_grad():
        expected = plain(images)
        found = freeze_convolutions(plain)(images)
    assert_close(found, exact(plain, images))
    assert found.stride() == expected.stride(), 'what follows may need the memory format'
    assert len(calls) == 1


def test_is_the_same_module_with_its_hooks_and_names(images):
    plain = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 8, 1))
    shared = nn.ModuleList([plain, plain[0]])
    seen = []
    plain[0].register_forward_hook(lambda *_: seen.append(1))
    first, names = plain[0], [*shared.state_dict()]
    freeze_convolutions(shared)
    assert shared[1] is plain[0] is first and type(first) is FrozenConv2d and [*shared.state_dict()] == names
    assert type(plain[1]) is nn.Conv2d
    with torch.no_grad():
        shared[0](images)
    assert seen == [1]


@pytest.mark.parametrize('settings', [
    dict(stride=2), dict(padding=0), dict(padding='valid'), dict(dilation=2, padding=2), dict(groups=2),
    dict(kernel_size=(3, 1), padding=(1, 0)), dict(padding_mode='reflect'), dict(out_channels=8)])
def test_other_convolutions_stay_as_they_are(settings):
    conv = nn.Conv2d(**{**dict(in_channels=32, out_channels=32, kernel_size=3, padding=1), **settings})
    assert type(freeze_convolutions(conv)) is nn.Conv2d


def test_subclasses_and_parametrized_convolutions_stay_as_they_are():
    class Own(nn.Conv2d):
        pass

    for conv in (Own(32, 32, 3, padding=1), parametrizations.weight_norm(nn.Conv2d(32, 32, 3, padding=1))):
        before = type(conv)
        assert type(freeze_convolutions(conv)) is before


def test_other_types_modes_and_small_maps_are_computed_by_pytorch(conv, images, calls):
    with torch.no_grad():
        assert_close(copy.deepcopy(conv).double()(images.double()), exact(conv, images))
        with torch.autocast('cpu', torch.bfloat16):
            assert conv(images).dtype == torch.bfloat16
        assert conv(images[:0]).shape == (0, 40, 18, 15)
        assert_close(conv(images[..., :4, :4]), exact(conv, images[..., :4, :4]))
        assert_close(conv(images[0]), exact(conv, images[0]))
        with pytest.raises(RuntimeError, match='expected input'):
            conv(images[:, :16])
    images.requires_grad_()
    conv(images).sum().backward()
    assert images.grad is not None and not calls


def test_without_a_compiler(conv, images, calls, monkeypatch):
    monkeypatch.setattr('mmreviewkd.ops.compiled.library.compiled_functions', lambda: None)
    with torch.no_grad():
        assert_close(conv(images), exact(conv, images))
    assert not calls


def test_weights_may_change(conv, images, calls):
    with torch.no_grad():
        for change in (
                lambda: None, lambda: conv.weight.mul_(2), lambda: conv.double().float(),
                lambda: conv.load_state_dict({'weight': normal(40, 32, 3, 3, seed=1), 'bias': normal(40, seed=2)}),
                lambda: setattr(conv, 'weight', nn.Parameter(conv.weight + 1))):
            change()
            assert_close(conv(images), exact(conv, images))
    assert len(calls) == 5


def test_copies_and_pickles(conv, images):
    with torch.no_grad():
        expected = conv(images)
        for other in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
            assert torch.equal(other(images), expected)


def test_traced_it_is_a_convolution(conv, images):
    with torch.no_grad():
        traced = torch.jit.trace(conv, images)
        other = normal(1, 32, 30, 30, seed=4).float()
        assert_close(traced(other), exact(conv, other))
        compiled = torch.compile(conv, backend='eager', fullgraph=True)
        assert_close(compiled(images), exact(conv, images))
