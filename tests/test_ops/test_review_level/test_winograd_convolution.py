"""F(4x4, 3x3): its matrices, and that it is a convolution, with its gradients."""

import pytest
import torch
import torch.nn.functional as F
from adjoint import assert_adjoint, normal

from mmreviewkd.ops.review_level import winograd_convolution
from mmreviewkd.ops.review_level.winograd_convolution import (
    INPUT_TRANSFORM,
    KERNEL_TRANSFORM,
    OUTPUT_TRANSFORM,
    WinogradConvolution,
)

SIZES = [(8, 4), (7, 7), (5, 7), (1, 1), (4, 9)]


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_the_matrices_filter_in_one_dimension():
    g, d = normal(3), normal(6, seed=1)
    expected = torch.stack([d[i:i + 3] @ g for i in range(4)])
    found = matrix(OUTPUT_TRANSFORM) @ ((matrix(KERNEL_TRANSFORM) @ g) * (matrix(INPUT_TRANSFORM) @ d))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('strips', [False, True])
def test_equals_conv2d_with_its_gradients(size, strips, monkeypatch):
    if strips:
        monkeypatch.setattr(winograd_convolution, 'STRIP_BYTES', 1)
        monkeypatch.setattr(winograd_convolution, 'STRIP_TILES', 1)
    rows, weight = normal(2, *size, 3), normal(4, 3, 3, 3, seed=1)
    kernels = WinogradConvolution.kernels(weight, None)

    def forward(rows, kernel):
        return WinogradConvolution((kernel,), torch.float64).forward(rows)

    def backward(grad, rows, kernel):
        convolution = WinogradConvolution((kernel,), torch.float64)
        return convolution.backward(grad, rows), *convolution.gradients

    expected = F.conv2d(rows.permute(0, 3, 1, 2), weight, padding=1)
    torch.testing.assert_close(forward(rows, *kernels).permute(0, 3, 1, 2), expected)
    assert_adjoint(forward, backward, [rows, *kernels], fast=True)


def test_gradients_of_the_kernel():
    weight = normal(2, 3, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda weight: WinogradConvolution.kernels(weight, None), weight)
