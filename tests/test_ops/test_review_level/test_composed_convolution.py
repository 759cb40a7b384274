"""The composed convolution against the convolution of the fused map."""

import pytest
import torch
import torch.nn.functional as F
from adjoint import assert_adjoint, normal

from mmreviewkd.ops.review_level.composed_convolution import ComposedConvolution
from mmreviewkd.ops.review_level.folding import Folded
from mmreviewkd.ops.review_level.layout import coarse_rows
from mmreviewkd.ops.review_level.mixing import fuse

SIZES = [((4, 6), (2, 3)), ((5, 7), (5, 7)), ((7, 7), (1, 1)), ((1, 1), (1, 1)), ((3, 8), (3, 2))]


def inputs(size, coarse):
    weighted, z1 = normal(2, *size, 3), normal(2, *size, seed=1)
    return weighted, z1, coarse_rows(normal(2, 4, *coarse, seed=2), size, torch.float64)


@pytest.mark.parametrize(('size', 'coarse'), SIZES)
def test_equals_the_convolution_of_the_fused_map(size, coarse):
    weighted, z1, repeated = inputs(size, coarse)
    weight, affine = normal(5, 4, 3, 3, seed=3), normal(4, 3, seed=4)
    convolution = ComposedConvolution(ComposedConvolution.kernels(weight, affine), torch.float64)
    fused = fuse(weighted, torch.stack((z1, z1)), repeated, Folded(affine, None, None, ()))
    expected = F.conv2d(fused.permute(0, 3, 1, 2), weight, padding=1)
    torch.testing.assert_close(convolution.forward(weighted, z1, repeated), expected)


@pytest.mark.parametrize(('size', 'coarse'), SIZES)
def test_gradients(size, coarse):
    def forward(weighted, z1, coarse, *kernels):
        return ComposedConvolution(kernels, torch.float64).forward(weighted, z1, coarse)

    def backward(grad, weighted, z1, coarse, *kernels):
        convolution = ComposedConvolution(kernels, torch.float64)
        return *convolution.backward(grad, weighted, z1, coarse), *convolution.gradients

    kernels = ComposedConvolution.kernels(normal(2, 4, 3, 3, seed=3), normal(4, 3, seed=4))
    assert_adjoint(forward, backward, [*inputs(size, coarse), *kernels], fast=True)


def test_gradients_of_the_kernels():
    arguments = [normal(2, 4, 3, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()]
    assert torch.autograd.gradcheck(ComposedConvolution.kernels, arguments)
