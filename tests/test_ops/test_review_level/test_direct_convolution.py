"""The direct convolution of rows."""

import pytest
import torch
import torch.nn.functional as F
from adjoint import assert_adjoint, normal

from mmreviewkd.ops.review_level.direct_convolution import DirectConvolution


@pytest.mark.parametrize('size', [(5, 7), (1, 1)])
def test_equals_conv2d_with_its_gradients(size):
    rows, weight = normal(2, *size, 3), normal(4, 3, 3, 3, seed=1)

    def forward(rows, weight):
        return DirectConvolution(DirectConvolution.kernels(weight, None), torch.float64).forward(rows)

    def backward(grad, rows, weight):
        convolution = DirectConvolution((weight,), torch.float64)
        return convolution.backward(grad, rows), *convolution.gradients

    expected = F.conv2d(rows.permute(0, 3, 1, 2), weight, padding=1)
    torch.testing.assert_close(forward(rows, weight).permute(0, 3, 1, 2), expected)
    assert_adjoint(forward, backward, [rows, weight], fast=True)


def test_gradients_of_the_weight_are_added_up_in_its_precision():
    weight = normal(4, 3, 3, 3).float()
    convolution, rows = DirectConvolution((weight,), torch.bfloat16), normal(2, 5, 7, 3).bfloat16()
    for _ in range(2):
        convolution.backward(torch.ones(2, 5, 7, 4, dtype=torch.bfloat16), rows)
    assert convolution.gradients[0].dtype == torch.float32
