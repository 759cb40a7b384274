"""F(4x4, 3x3): its matrices, its additions, its adjoints."""

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
    input_tiles,
    input_tiles_adjoint,
    output_tiles,
    output_tiles_adjoint,
)

SIZES = [(8, 4), (7, 7), (5, 7), (1, 1), (4, 9)]


def matrix(rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_the_matrices_filter_in_one_dimension():
    g, d = normal(3), normal(6, seed=1)
    expected = torch.stack([d[i:i + 3] @ g for i in range(4)])
    found = matrix(OUTPUT_TRANSFORM) @ ((matrix(KERNEL_TRANSFORM) @ g) * (matrix(INPUT_TRANSFORM) @ d))
    torch.testing.assert_close(found, expected)


def test_the_additions_are_the_matrices():
    rows, products = normal(1, 10, 14, 2), normal(6, 6, 1, 2, 3, 2, seed=1)
    windows = rows.unfold(1, 6, 4).unfold(2, 6, 4)
    expected = torch.einsum('ai,bj,nklmij->abnklm', matrix(INPUT_TRANSFORM), matrix(INPUT_TRANSFORM), windows)
    torch.testing.assert_close(input_tiles(rows), expected)
    output = torch.empty(1, 8, 12, 2, dtype=torch.float64)
    output_tiles(products, output)
    expected = torch.einsum('ia,jb,abnklo->nkiljo', matrix(OUTPUT_TRANSFORM), matrix(OUTPUT_TRANSFORM), products)
    torch.testing.assert_close(output, expected.reshape(1, 8, 12, 2))


@pytest.mark.slow
def test_adjoints_of_the_transforms():
    def gather(products):
        output = products.new_empty(1, 8, 4, 2)
        output_tiles(products, output)
        return output

    def spread(grad, rows):
        out = torch.zeros_like(rows)
        input_tiles_adjoint(grad, out)
        return (out,)

    assert_adjoint(input_tiles, spread, [normal(1, 10, 6, 2)], fast=True)
    assert_adjoint(gather, lambda grad, _: (output_tiles_adjoint(grad),), [normal(6, 6, 1, 2, 1, 2)], fast=True)


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
