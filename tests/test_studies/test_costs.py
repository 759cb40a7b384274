"""Fitting the constants of the cost model."""

import pytest
import torch

from mmreviewkd.ops.review_level import LevelShape, plan
from mmreviewkd.studies.costs import SHAPES, convolution_times, fit_convolutions, level_times


def test_constants_are_recovered_from_the_times_they_predict():
    times = []
    for n, side, c, m, o, coarse in SHAPES:
        costs = plan.convolution_costs(
            LevelShape(n, c, m, o, (side, side), (side, side), (coarse, coarse), True), torch.device('cpu'),
            torch.float32)
        times.append([2.0, 2 * costs['winograd'], 2 * costs['composed']])
    fitted = fit_convolutions(SHAPES, times)
    for name in ('WINOGRAD_RATE', 'WINOGRAD_CHANNEL', 'WINOGRAD_WEIGHT', 'SPREADING_CHANNELS', 'COMPOSING'):
        assert fitted[name] == pytest.approx(getattr(plan, name), rel=1e-6)
    assert fitted['error, winograd'] < 1e-9 and fitted['error, composed'] < 1e-9


def test_every_way_is_timed():
    assert all(seconds > 0 for seconds in convolution_times((1, 8, 2, 4, 3, 4), runs=1))
    assert all(seconds > 0 for seconds in level_times(8, 4, runs=1, batch=2))
