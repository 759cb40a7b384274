"""The transforms of the Winograd convolution."""

import pytest
import torch
import torch.nn.functional as F
from adjoint import normal

from mmreviewkd.ops.review_level.tile_transforms import (
    Strip,
    input_tiles,
    input_tiles_adjoint,
    output_tiles,
    output_tiles_adjoint,
)
from mmreviewkd.ops.review_level.winograd_convolution import INPUT_TRANSFORM, OUTPUT_TRANSFORM

# Images, height, width; the strip's images and rows of tiles. Whole maps, and parts of maps with and without the edges.
STRIPS = [
    ((1, 8, 12), (0, 1), (0, 2)), ((2, 7, 5), (0, 2), (0, 2)), ((3, 13, 4), (1, 3), (1, 3)),
    ((1, 1, 1), (0, 1), (0, 1)), ((2, 18, 9), (1, 2), (3, 5)), ((1, 16, 3), (0, 1), (0, 2)),
    ((4, 6, 30), (2, 3), (0, 1))]
strips = pytest.mark.parametrize(('size', 'images', 'rows'), STRIPS)


def tiles_of(rows, strip):
    tiles = rows.new_empty((36, strip.count(rows), rows.shape[3]))
    input_tiles(rows, tiles, strip)
    return tiles


def grad_tiles_of(grad, strip):
    tiles = grad.new_empty((36, strip.count(grad), grad.shape[3]))
    output_tiles_adjoint(grad, tiles, strip)
    return tiles


def as_tiles(rows, strip, outside, side):
    """Tiles of some rows, ``[n, k, l, side, side, channels]``, every fourth pixel, from ``outside`` the map on."""
    _, h, w, _ = rows.shape
    padded = F.pad(rows, (0, 0, outside, outside - w % -4, outside, outside - h % -4))
    windows = padded.unfold(1, side, 4).unfold(2, side, 4)
    return windows[strip.images, strip.first:strip.last].permute(0, 1, 2, 4, 5, 3)


@strips
@pytest.mark.parametrize('channels', [1, 5, 16, 39])
def test_the_transforms_are_their_matrices(size, images, rows, channels):
    strip = Strip(slice(*images), *rows)
    maps = normal(*size, channels)
    tiles = as_tiles(maps, strip, 1, 6)
    matrix = tiles.new_tensor(INPUT_TRANSFORM)
    expected = torch.einsum('ai,bj,nklijc->abnklc', matrix, matrix, tiles).reshape(36, -1, channels)
    torch.testing.assert_close(tiles_of(maps, strip), expected)

    products = normal(36, expected.shape[1], channels, seed=1)
    matrix = tiles.new_tensor(OUTPUT_TRANSFORM)
    out = torch.full((*size, channels), 7.0, dtype=torch.float64)
    output_tiles(products, out, strip)
    expected = torch.einsum('ia,jb,abnklc->nklijc', matrix, matrix, products.view(6, 6, *tiles.shape[:3], channels))
    found = as_tiles(out, strip, 0, 4)
    torch.testing.assert_close(found, expected.where(found != 0, 0))
    out[strip.images, 4 * strip.first:4 * strip.last] = 7
    assert (out == 7).all(), 'pixels outside the strip were written'


@strips
@pytest.mark.parametrize('channels', [3, 35])
def test_the_adjoints(size, images, rows, channels):
    strip = Strip(slice(*images), *rows)
    maps = normal(*size, channels)
    grad_tiles = normal(*tiles_of(maps, strip).shape, seed=1)

    # <B^T d B, t> = <d, adjoint(t)>, and the same for the outputs.
    out = normal(*size, channels, seed=2)
    found = out.clone()
    input_tiles_adjoint(grad_tiles, found, strip)
    inputs = maps.clone().requires_grad_()
    expected, = torch.autograd.grad(transformed(inputs, strip), inputs, grad_tiles)
    torch.testing.assert_close(found, out + expected)

    products = normal(*grad_tiles.shape, seed=3)
    outputs = torch.zeros_like(maps)
    output_tiles(products, outputs, strip)
    found = grad_tiles_of(maps, strip)
    torch.testing.assert_close((found * products).sum(), (outputs * maps).sum())


def transformed(maps, strip):
    """The transformed tiles, by matrices, as autograd can differentiate."""
    matrix = maps.new_tensor(INPUT_TRANSFORM)
    tiles = torch.einsum('ai,bj,nklijc->abnklc', matrix, matrix, as_tiles(maps, strip, 1, 6))
    return tiles.reshape(36, -1, maps.shape[3])


def test_maps_that_are_not_contiguous_are_read_as_they_are():
    strip, maps = Strip(slice(0, 2), 0, 2), normal(2, 16, 8, 5).transpose(1, 2)
    assert torch.equal(tiles_of(maps, strip), tiles_of(maps.contiguous(), strip))
    assert torch.equal(grad_tiles_of(maps, strip), grad_tiles_of(maps.contiguous(), strip))
