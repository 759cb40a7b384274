"""Attention, weighing and fusing by compiled functions, against the same by tensor operations in double precision."""

import pytest
import torch
from adjoint import normal
from threads import with_threads

from mmreviewkd.ops.compiled import compiled_functions
from mmreviewkd.ops.review_level.attending import attend_and_weigh, attend_and_weigh_adjoint, weigh_again
from mmreviewkd.ops.review_level.chunks import CenteredRows
from mmreviewkd.ops.review_level.folding import Folded
from mmreviewkd.ops.review_level.layout import coarse_rows
from mmreviewkd.ops.review_level.mixing import MixGradients, fuse

BATCH = 2
SIZES = [((4, 6), (2, 3)), ((5, 7), (3, 4)), ((7, 7), (1, 1)), ((1, 1), (1, 1)), ((2, 16), (1, 2)), ((16, 16), (8, 8))]
CHANNELS = [(2, 3), (16, 32), (33, 70)]


@pytest.fixture(autouse=True, scope='module')
def _compiled():
    assert compiled_functions() is not None, 'the tests need a C++ compiler'


def results(size, coarse_size, channels, depth, dtype, centered, split):
    """All outputs and gradients; ``split``: of gradients that are parts of one map, as the fusion gives them."""
    def random(*shape, seed):
        return normal(*shape, seed=seed).to(dtype)

    rows = CenteredRows(
        random(BATCH, *size, channels, seed=0) + 1, random(channels, seed=1) if centered else None, dtype)
    coarse = coarse_rows(random(BATCH, depth, *coarse_size, seed=2), size, dtype)
    folded = Folded(
        random(depth, channels + 1, seed=3), random(2, channels + 1, seed=4), random(2, depth, seed=5) / depth**0.5, ())
    z = torch.empty(2, BATCH, *size, dtype=dtype)
    weighted = attend_and_weigh(rows, coarse, folded, dtype, z)
    again, fused = weigh_again(rows, z, dtype), fuse(weighted, z, coarse, folded)
    grad = random(BATCH, *size, channels + 1, seed=6)
    own = grad[..., :-1] if split else grad[..., :-1].contiguous()
    mix = MixGradients(own, grad[..., -1], random(BATCH, *size, seed=7), random(*coarse.shape, seed=8))
    grads = Folded(*(torch.ones_like(t) for t in folded[:3]), ())
    grad_rows = torch.empty_like(rows.values)
    grad_coarse = attend_and_weigh_adjoint(mix, rows, z, coarse, folded, grads, grad_rows)
    return [z, weighted, again, fused, grad_rows, grad_coarse, grads.attention, grads.coarse_attention]


@pytest.mark.parametrize(('size', 'coarse'), SIZES)
@pytest.mark.parametrize(('channels', 'depth'), CHANNELS)
@pytest.mark.parametrize(('centered', 'split'), [(True, True), (False, False)])
def test_equals_tensor_operations(size, coarse, channels, depth, centered, split):
    found, expected = (
        results(size, coarse, channels, depth, dtype, centered, split) for dtype in (torch.float32, torch.float64))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32 and a.shape == b.shape
        assert (a - b).abs().max() <= 2e-6 * b.abs().max()


def test_any_number_of_threads_computes_the_same():
    one, three = (
        with_threads(number, lambda: results((9, 6), (9, 3), 21, 37, torch.float32, True, True)) for number in (1, 3))
    assert all(map(torch.equal, one, three))
