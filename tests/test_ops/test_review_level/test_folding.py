"""The small tensors of a level against the modules that they stand for."""

import pytest
import torch
from adjoint import normal
from torch import nn

from mmreviewkd.ops.review_level.chunks import Chunks
from mmreviewkd.ops.review_level.direct_convolution import DirectConvolution
from mmreviewkd.ops.review_level.folding import (
    BatchNorm,
    fold,
    fold_attention,
    fold_normalization,
    update_running_statistics,
)
from mmreviewkd.ops.review_level.moments import Moments, moments

IN, MID = 3, 4


def modules():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(IN, MID, 1, bias=False).double(), nn.BatchNorm2d(MID).double()
    for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(values, 0.5, 1.5)
    return conv, norm


def affine_of(conv, norm, feature, from_covariance):
    weight = conv.weight.flatten(1)
    if not norm.training:
        running = Moments(None, None, norm.running_var)
        return fold_normalization(weight, norm.weight, norm.bias, running, norm.eps, None, norm.running_mean), None
    found = moments(Chunks(feature, 2, torch.float64), weight, from_covariance)
    return fold_normalization(weight, norm.weight, norm.bias, found, norm.eps, found.mean, None), found.mean


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('from_covariance', [True, False])
def test_one_affine_map_is_convolution_and_normalization(training, from_covariance):
    conv, norm = modules()
    norm.train(training)
    feature = normal(3, IN, 5, 7) + 1
    affine, center = affine_of(conv, norm, feature, from_covariance)
    rows = feature.permute(0, 2, 3, 1) - (0 if center is None else center)
    actual = (rows @ affine[:, :-1].t() + affine[:, -1]).permute(0, 3, 1, 2)
    torch.testing.assert_close(actual, norm(conv(feature)))


@pytest.mark.parametrize('from_covariance', [True, False])
def test_running_statistics_are_updated_as_the_module_does(from_covariance):
    conv, norm = modules()
    feature = normal(3, IN, 5, 7) + 1
    mine = BatchNorm(norm.weight, norm.bias, norm.running_mean.clone(), norm.running_var.clone(), True, 0.1, norm.eps)
    weight = conv.weight.detach().flatten(1)
    with torch.no_grad():
        found = moments(Chunks(feature, 2, torch.float64), weight, from_covariance)
        update_running_statistics(mine, weight, found, 3 * 5 * 7)
        update_running_statistics(mine._replace(momentum=None), weight, found, 3 * 5 * 7)
        norm(conv(feature))
    torch.testing.assert_close(mine.running_mean, norm.running_mean)
    torch.testing.assert_close(mine.running_var, norm.running_var)


def test_attention_is_folded():
    affine, weight, bias = normal(MID, IN + 1), normal(2, 2 * MID, seed=1), normal(2, seed=2)
    c, u = normal(IN, seed=3), normal(MID, seed=4)
    own, coarse = fold_attention(affine, weight, bias)
    x = affine[:, :-1] @ c + affine[:, -1]
    torch.testing.assert_close(
        own[:, :-1] @ c + own[:, -1] + coarse @ u, weight @ torch.cat([x, u]) + bias)


@pytest.mark.parametrize('from_covariance', [True, False])
def test_gradients_through_moments_and_parameters(from_covariance):
    conv, norm = modules()
    feature = normal(2, IN, 3, 5)
    weight = conv.weight.detach().clone()
    found = moments(Chunks(feature, 2, torch.float64), weight.flatten(1), from_covariance)
    center, symmetric = found.mean.clone(), normal(IN, IN, seed=9)
    symmetric = symmetric @ symmetric.t()

    def folded(weight1, gamma, beta, att_weight, att_bias, weight2, mean, second):
        # A covariance is symmetric, and finite differences must keep it so.
        second = Moments(mean, (second + second.t()) / 2, None) if from_covariance else Moments(mean, None, second)
        return tuple(fold(
            weight1, gamma, beta, att_weight, att_bias, weight2, second, 1e-5, center, None, DirectConvolution.kernels
        ).tensors())

    inputs = [
        weight, norm.weight, norm.bias, normal(2, 2 * MID, 1, 1), normal(2), normal(2, MID, 3, 3), found.mean,
        symmetric if from_covariance else found.variance]
    assert torch.autograd.gradcheck(folded, [t.detach().requires_grad_() for t in inputs])
