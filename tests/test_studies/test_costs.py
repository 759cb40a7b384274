"""Fitting the constants of the cost model."""

import pytest
import torch

from mmreviewkd.ops.review_level import LevelShape, plan
from mmreviewkd.studies.costs import fit, level_times, relative_costs, shapes_of


def predicted(shape):
    costs = plan.convolution_costs(shape, torch.device('cpu'), torch.float32)
    return {name: cost for name, cost in costs.items() if name != 'direct'}


@pytest.mark.parametrize('used', [plan.COSTS_COMPILED, plan.COSTS_OF_AVX2, plan.COSTS_OF_AVX512])
def test_constants_are_recovered_from_the_costs_they_predict(used, monkeypatch):
    monkeypatch.setattr(plan, 'cost_constants', lambda *_: used)
    shapes = shapes_of()
    fitted = fit(shapes, [predicted(shape) for shape in shapes])
    assert fitted.margin == pytest.approx(1, abs=1e-6)
    assert fitted[1:] == pytest.approx(used[1:], rel=1e-6, abs=1e-9)


def test_no_constant_is_negative_and_an_inexact_fit_leaves_a_margin():
    shapes = shapes_of()
    costs = [dict.fromkeys(predicted(shape), (0.1, 3.0)[index % 2]) for index, shape in enumerate(shapes)]
    fitted = fit(shapes, costs)
    assert all(value >= 0 for value in fitted[1:])
    assert fitted.margin < 0.9 and fitted.compiled == plan.cost_constants().compiled


def test_costs_are_relative_to_the_direct_convolution_alone():
    times = {'plain': 9.0, 'direct': 5.0, 'winograd': 4.0, 'conv2': 2.0}
    assert relative_costs(times) == {'winograd': 0.5}


@pytest.mark.parametrize('coarse', [(4, 4), None])
def test_every_way_is_timed(coarse):
    times = level_times(LevelShape(1, 2, 4, 3, (8, 8), (8, 8), coarse, True), runs=1)
    assert all(seconds > 0 for seconds in times.values())
    assert set(times) == {'plain', 'direct', 'winograd', 'conv2', *(['composed'] if coarse else [])}
