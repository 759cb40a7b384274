"""Rows, blocks and resizing of both."""

import pytest
import textbook
import torch
from adjoint import assert_adjoint, normal

from mmreviewkd.ops.review_level.layout import (
    as_blocks,
    coarse_rows,
    coarse_rows_adjoint,
    repeats_whole_blocks,
    resize_rows,
    resize_rows_adjoint,
    to_maps,
    to_rows,
)

PAIRS = [((1, 1), (5, 7)), ((2, 3), (4, 12)), ((3, 3), (7, 7)), ((4, 4), (2, 2)), ((3, 2), (3, 2)), ((1, 2), (9, 8))]


@pytest.mark.parametrize(('coarse', 'fine'), PAIRS)
def test_blocks_are_the_pixels_that_nearest_resizing_repeats(coarse, fine):
    residual = normal(2, 3, *coarse)
    rows = coarse_rows(residual, fine, torch.float64)
    ones = torch.ones(2, *fine, 3, dtype=torch.float64)
    as_blocks(ones, rows).mul_(rows)
    torch.testing.assert_close(ones, to_rows(textbook.nearest(residual, fine)))


@pytest.mark.parametrize(('coarse', 'fine'), PAIRS)
def test_adjoints(coarse, fine):
    def on_coarse(residual):
        return coarse_rows(residual, fine, torch.float64)

    assert_adjoint(on_coarse, lambda grad, _: (coarse_rows_adjoint(grad, coarse),), [normal(1, 2, *coarse)])
    assert_adjoint(
        lambda rows: resize_rows(rows, fine), lambda grad, _: (resize_rows_adjoint(grad, coarse),),
        [normal(1, *coarse, 2)])


def test_resizing_is_that_of_interpolate():
    rows = normal(2, 5, 7, 3)
    torch.testing.assert_close(resize_rows(rows, (9, 4)), to_rows(textbook.nearest(to_maps(rows), (9, 4))))
    assert resize_rows(rows, (5, 7)) is rows


@pytest.mark.parametrize(('coarse', 'fine', 'expected'), [
    ((2, 2), (8, 4), True), ((1, 1), (7, 5), True), ((3, 2), (9, 4), False), ((2, 2), (5, 4), False),
    ((4, 4), (2, 2), False)])
def test_only_ratios_that_are_powers_of_two_make_blocks(coarse, fine, expected):
    assert repeats_whole_blocks(coarse, fine) is expected
