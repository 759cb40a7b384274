"""ABF against its formula, written out per pixel."""

import pytest
import textbook
import torch
from adjoint import normal

from mmreviewkd.ops import attention_based_fusion, resize_nearest


@pytest.mark.parametrize(('size', 'coarse'), [((4, 6), (2, 3)), ((7, 7), (4, 4)), ((5, 7), (3, 2)), ((1, 1), (1, 1))])
def test_equals_the_formula_at_every_pixel(size, coarse):
    x, residual = normal(2, 3, *size), normal(2, 3, *coarse, seed=1)
    weight, bias = normal(2, 6, 1, 1, seed=2), normal(2, seed=3)
    fused, u = attention_based_fusion(x, residual, weight, bias), textbook.nearest(residual, size)
    for n in range(2):
        for i in range(size[0]):
            for j in range(size[1]):
                z = torch.sigmoid(weight[:, :, 0, 0] @ torch.cat([x[n, :, i, j], u[n, :, i, j]]) + bias)
                torch.testing.assert_close(fused[n, :, i, j], z[0] * x[n, :, i, j] + z[1] * u[n, :, i, j])


def test_gradients():
    inputs = normal(1, 2, 3, 5), normal(1, 2, 2, 2, seed=1), normal(2, 4, 1, 1, seed=2), normal(2, seed=3)
    assert torch.autograd.gradcheck(attention_based_fusion, [t.requires_grad_() for t in inputs])


def test_a_map_of_the_right_size_is_not_copied():
    x = normal(1, 2, 3, 4)
    assert resize_nearest(x, (3, 4)) is x
    torch.testing.assert_close(resize_nearest(x, (5, 7)), textbook.nearest(x, (5, 7)))
