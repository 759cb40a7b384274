"""The composed convolution against the convolution of the fused map."""

import pytest
import torch
import torch.nn.functional as F
from adjoint import assert_adjoint, normal

from mmreviewkd.ops.compiled import compiled_functions
from mmreviewkd.ops.review_level.composed_convolution import ComposedConvolution
from mmreviewkd.ops.review_level.folding import Folded
from mmreviewkd.ops.review_level.layout import coarse_rows, to_maps
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
    torch.testing.assert_close(to_maps(convolution.forward(weighted, z1, repeated)), expected)


@pytest.mark.parametrize(('size', 'coarse'), SIZES)
def test_gradients(size, coarse):
    def forward(weighted, z1, coarse, *kernels):
        return ComposedConvolution(kernels, torch.float64).forward(weighted, z1, coarse)

    def backward(grad, weighted, z1, coarse, *kernels):
        convolution = ComposedConvolution(kernels, torch.float64)
        return *convolution.backward(grad, weighted, z1, coarse), *convolution.gradients

    kernels = ComposedConvolution.kernels(normal(2, 4, 3, 3, seed=3), normal(4, 3, seed=4))
    assert_adjoint(forward, backward, [*inputs(size, coarse), *kernels], fast=True)


@pytest.mark.parametrize(('size', 'coarse'), SIZES)
@pytest.mark.parametrize('out_channels', [5, 16, 37])
def test_compiled_functions_compute_the_same(size, coarse, out_channels):
    assert compiled_functions() is not None, 'the tests need a C++ compiler'
    weight, affine = normal(out_channels, 4, 3, 3, seed=3), normal(4, 3, seed=4)
    grad = normal(2, *size, out_channels, seed=5)

    def results(dtype):
        tensors = [t.to(dtype) for t in inputs(size, coarse)]
        kernels = ComposedConvolution.kernels(weight.to(dtype), affine.to(dtype))
        convolution = ComposedConvolution(kernels, dtype)
        return [
            convolution.forward(*tensors), *convolution.backward(grad.to(dtype), *tensors), convolution.gradients[1]]

    for found, expected in zip(results(torch.float32), results(torch.float64)):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_gradients_of_the_kernels():
    arguments = [normal(2, 4, 3, 3).requires_grad_(), normal(4, 3, seed=1).requires_grad_()]
    assert torch.autograd.gradcheck(ComposedConvolution.kernels, arguments)
