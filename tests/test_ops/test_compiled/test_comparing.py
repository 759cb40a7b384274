"""Statistics of channels, and sums over cells and windows, against their definitions in double precision."""

import pytest
import torch
import torch.nn.functional as F
from adjoint import normal
from threads import with_threads

from mmreviewkd.ops.compiled import comparing, compiled_functions
from mmreviewkd.ops.compiled.comparing import cells_of, channel_moments, combine, compare, compares

# Images, height, width, channels: whole and partial vectors, groups of four, and cells of one pixel and of many.
SIZES = [(2, 8, 8, 16), (1, 13, 19, 64), (3, 5, 7, 70), (2, 1, 1, 3), (1, 12, 6, 130)]
POOL_SIZES = (4, 2, 1)


@pytest.fixture(autouse=True, scope='module')
def _compiled():
    assert compiled_functions() is not None, 'the tests need a C++ compiler'


def inputs(size):
    return (normal(*size) + 2, normal(*size, seed=1), *(normal(size[-1], seed=seed) for seed in (2, 3, 4)))


def single(tensors):
    return [t.float() for t in tensors]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('chunk', [7, comparing.CHUNK])
def test_moments(size, chunk, monkeypatch):
    monkeypatch.setattr(comparing, 'CHUNK', chunk)
    rows = 3 * normal(*size) + 100
    mean, variance = channel_moments(rows.float())
    flat = rows.float().double().flatten(0, 2)
    torch.testing.assert_close(mean, flat.mean(0), rtol=1e-7, atol=0)
    torch.testing.assert_close(variance, flat.var(0, unbiased=False), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('pool_sizes', [POOL_SIZES, (), (3,)])
def test_sums_and_gradients(size, pool_sizes):
    rows, other, mean, scale, shift = inputs(size)
    cells = cells_of(size[1:3], pool_sizes)
    factors = [0.1 * (i + 1) for i, side in enumerate(pool_sizes) for _ in range(side**2)]
    found = compare(*single(inputs(size)), cells, factors)

    deviations = rows - mean
    differences = (scale * deviations + shift - other).requires_grad_()
    maps = differences.permute(0, 3, 1, 2)
    of_windows = torch.zeros(size[-1], dtype=torch.float64)
    for i, side in enumerate(pool_sizes):
        of_windows = of_windows + 0.05 * (i + 1) * F.adaptive_avg_pool2d(maps, side).square().sum((0, 2, 3))
    gradient = torch.zeros_like(differences)
    if pool_sizes:
        gradient, = torch.autograd.grad(of_windows.sum(), differences)
    heights, widths = (bounds.diff() for bounds in cells[:2])
    at_pixels = found.gradients.repeat_interleave(heights, 1).repeat_interleave(widths, 2)
    pixels = 0, 1, 2
    expected = dict(
        differences=differences.sum(pixels), squares=differences.square().sum(pixels),
        products=(differences * deviations).sum(pixels), of_windows=of_windows, gradient_sums=gradient.sum(pixels),
        gradient_products=(gradient * deviations).sum(pixels))
    for name, values in expected.items():
        torch.testing.assert_close(getattr(found, name), values.detach(), rtol=1e-5, atol=1e-4, msg=name)
    torch.testing.assert_close(at_pixels.double(), gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', SIZES)
def test_linear_combination(size):
    rows, other, mean, along_rows, along_other = inputs(size)
    cells = cells_of(size[1:3], POOL_SIZES)
    offsets = normal(size[0], *cells.grid, size[-1], seed=5)
    found = combine(*single((rows, other, mean, along_rows, along_other, offsets)), cells)
    heights, widths = (bounds.diff() for bounds in cells[:2])
    expected = along_rows * (rows - mean) + along_other * other + offsets.repeat_interleave(
        heights, 1).repeat_interleave(widths, 2)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_any_number_of_threads_computes_the_same():
    size = (3, 11, 9, 37)
    cells = cells_of(size[1:3], POOL_SIZES)

    def compute():
        found = compare(*single(inputs(size)), cells, [1.0] * 21)
        return *channel_moments(inputs(size)[0].float()), *found, combine(*single(inputs(size)), found.gradients, cells)

    assert all(map(torch.equal, with_threads(1, compute), with_threads(3, compute)))


def test_maps_that_are_not_compared():
    maps = torch.zeros(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert compares(maps, maps.contiguous())
    assert not compares(maps.contiguous(), maps)
    assert not compares(maps.double(), maps) and not compares(maps, maps.double())
    assert not compares(maps[:, :, :1, :1].contiguous(memory_format=torch.channels_last), maps)
