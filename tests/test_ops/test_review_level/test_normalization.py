"""Batch normalization summed by groups of pixels."""

import pytest
import torch
from adjoint import assert_adjoint, normal
from torch import nn

from mmreviewkd.ops.review_level import BatchNorm, Unnormalized, normalization
from mmreviewkd.ops.review_level.normalization import normalize, normalize_adjoint


def norm_of(weight, bias, from_batch=True, momentum=None):
    return BatchNorm(
        weight, bias, torch.full_like(bias, 0.3), torch.full_like(bias, 1.5), from_batch, momentum, 1e-5)


@pytest.mark.parametrize('width', [1, 6, 512])
@pytest.mark.parametrize('group', [4, 10, 1000])
@pytest.mark.parametrize('from_batch', [True, False])
@pytest.mark.parametrize('size', [(5, 7), (7, 7), (1, 9)])
def test_equals_the_module_with_its_gradients(width, group, from_batch, size, monkeypatch):
    monkeypatch.setattr(normalization, 'STATISTICS_GROUP', group // 2)
    monkeypatch.setattr(normalization, 'GRADIENT_GROUP', group)
    monkeypatch.setattr(normalization, 'ROW_WIDTH', width)
    maps, weight, bias = normal(2, 3, *size) + 2, normal(3, seed=1), normal(3, seed=2)
    maps = maps.contiguous(memory_format=torch.channels_last)

    def backward(grad, maps, weight, bias):
        norm = norm_of(weight, bias, from_batch)
        return normalize_adjoint(grad, maps, norm, *normalize(maps, norm)[1:])

    assert_adjoint(
        lambda maps, weight, bias: normalize(maps, norm_of(weight, bias, from_batch))[0], backward,
        [maps, weight, bias])
    norm, module = norm_of(weight, bias, from_batch, 0.1 if from_batch else None), nn.BatchNorm2d(3).double()
    module.load_state_dict(dict(
        weight=weight, bias=bias, running_mean=norm.running_mean, running_var=norm.running_var), strict=False)
    torch.testing.assert_close(normalize(maps, norm)[0], module.train(from_batch)(maps))
    torch.testing.assert_close(norm.running_mean, module.running_mean)
    torch.testing.assert_close(norm.running_var, module.running_var)


@pytest.mark.parametrize('from_batch', [True, False])
def test_maps_before_their_normalization_are_normalized_once(from_batch):
    inputs = [t.requires_grad_() for t in (normal(2, 3, 4, 5) + 2, normal(3, seed=1), normal(3, seed=2))]
    norm = norm_of(*inputs[1:], from_batch)
    assert torch.autograd.gradcheck(
        lambda maps, weight, bias: Unnormalized(maps, norm._replace(weight=weight, bias=bias)).normalized(), inputs)
    expected, before = normalize(inputs[0], norm)[0], norm.running_mean.clone()
    output = Unnormalized(inputs[0], norm._replace(momentum=0.1 if from_batch else None)).normalized()
    torch.testing.assert_close(output, expected)
    assert torch.equal(before, norm.running_mean) != from_batch
    after = norm.running_mean.clone()
    again = Unnormalized(inputs[0], norm._replace(momentum=0.1 if from_batch else None)).without_update()
    torch.testing.assert_close(again.normalized(), expected)
    assert torch.equal(after, norm.running_mean)


def test_sums_over_many_pixels_are_accurate_in_single_precision():
    maps, grad = (
        (3 * normal(16, 4, 64, 64, seed=i) + 1).float().contiguous(memory_format=torch.channels_last) for i in (0, 1))
    found = []
    for dtype in (torch.float32, torch.float64):
        norm = norm_of(torch.ones(4, dtype=dtype), torch.zeros(4, dtype=dtype))
        output, *statistics = normalize(maps.to(dtype), norm)
        found.append([output, *statistics, *normalize_adjoint(grad.to(dtype), maps.to(dtype), norm, *statistics)])
    for actual, expected in zip(*found):
        assert (actual - expected).abs().max() < 2e-6 * expected.abs().max()
