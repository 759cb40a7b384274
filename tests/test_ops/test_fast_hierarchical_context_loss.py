"""HCL from one difference map against its definition."""

import pytest
import torch
from adjoint import normal

from mmreviewkd.ops import fast_level_hcl, level_hcl

SIZES = [(8, 8), (7, 7), (5, 7), (1, 1), (4, 4), (2, 3), (12, 8), (16, 6)]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('pool_sizes', [(4, 2, 1), (), (6, 3, 2, 1), (1, 4)])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_equals_the_definition(size, pool_sizes, memory_format):
    student, teacher = (
        normal(2, 3, *size, seed=seed).contiguous(memory_format=memory_format).requires_grad_() for seed in range(2))
    losses = [function(student, teacher, pool_sizes) for function in (fast_level_hcl, level_hcl)]
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    fast, definition = (torch.autograd.grad(3 * loss, (student, teacher)) for loss in losses)
    for actual, expected in zip(fast, definition):
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize('size', SIZES)
def test_gradients(size):
    inputs = [normal(1, 2, *size, seed=seed).requires_grad_() for seed in range(2)]
    assert torch.autograd.gradcheck(fast_level_hcl, inputs)


def test_keeps_one_map():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()), lambda t: t):
        fast_level_hcl(normal(2, 3, 8, 8).requires_grad_(), normal(2, 3, 8, 8, seed=1))
    assert kept == [2 * 3 * 8 * 8]
