"""The padded convolution, and the single pixels that it computes by one tap."""

import pytest
import torch
import torch.nn.functional as F
from adjoint import normal

from mmreviewkd.ops.convolve_padded import convolve_padded


@pytest.mark.parametrize('size', [(1, 1), (1, 3), (4, 5)])
@pytest.mark.parametrize('kernel_size', [1, 3])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_equals_conv2d_with_its_gradients(size, kernel_size, memory_format):
    maps = normal(2, 3, *size).requires_grad_()
    weight = normal(4, 3, kernel_size, kernel_size, seed=1).contiguous(memory_format=memory_format).requires_grad_()
    found, expected = convolve_padded(maps, weight), F.conv2d(maps, weight, padding=kernel_size // 2)
    torch.testing.assert_close(found, expected)
    grad = normal(*expected.shape, seed=2)
    gradients = [torch.autograd.grad(output, (maps, weight), grad) for output in (found, expected)]
    for a, b in zip(*gradients):
        torch.testing.assert_close(a, b)
    assert gradients[0][1].stride() == weight.stride()
