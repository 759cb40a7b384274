"""Moments of the input against those of the output of ``conv1``."""

import pytest
import torch
from adjoint import assert_adjoint, normal

from mmreviewkd.ops.review_level.chunks import Chunks
from mmreviewkd.ops.review_level.folding import variance_of_conv1
from mmreviewkd.ops.review_level.moments import Moments, add_moments_adjoint, moments


@pytest.mark.parametrize('from_covariance', [True, False])
@pytest.mark.parametrize('images', [1, 2, 3])
@pytest.mark.parametrize('size', [(5, 7), (7, 7), (1, 1)])
def test_give_the_statistics_of_conv1(from_covariance, images, size):
    feature, weight = 2 * normal(3, 4, *size) + 1, normal(5, 4, seed=1)
    found = moments(Chunks(feature, images, torch.float64), weight, from_covariance)
    output = torch.nn.functional.conv2d(feature, weight[:, :, None, None])
    torch.testing.assert_close(weight @ found.mean, output.mean((0, 2, 3)))
    torch.testing.assert_close(variance_of_conv1(weight, found), output.var((0, 2, 3), unbiased=False))


@pytest.mark.parametrize('from_covariance', [True, False])
@pytest.mark.parametrize('size', [(3, 5), (1, 1)])
def test_adjoint(from_covariance, size):
    def forward(feature, weight):
        return tuple(t for t in moments(Chunks(feature, 2, torch.float64), weight, from_covariance) if t is not None)

    def backward(grad_mean, grad_second, feature, weight):
        chunks = Chunks(feature, 2, torch.float64)
        grads = Moments(grad_mean, *((grad_second, None) if from_covariance else (None, grad_second)))
        grad_rows = torch.zeros(*chunks.grid, feature.shape[1], dtype=torch.float64)
        grad_weight = add_moments_adjoint(grad_rows, grads, chunks, weight, chunks.mean())
        return grad_rows.permute(0, 3, 1, 2), torch.zeros_like(weight) if grad_weight is None else grad_weight

    assert_adjoint(forward, backward, [normal(3, 2, *size), normal(4, 2, seed=1)])
