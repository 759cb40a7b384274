"""Gradients at the benchmark's own shapes are as exact as promised."""

import pytest
import torch

from mmreviewkd.ops.review_level import plan
from mmreviewkd.studies.benchmark import rounding
from mmreviewkd.studies.benchmark.steps import pyramid

CPU = torch.device('cpu')


def test_the_worst_gradient_is_found():
    exact = dict(a=torch.tensor([1.0, -2.0]), b=torch.tensor([100.0]), zero=torch.zeros(1))
    found = dict(a=torch.tensor([1.0, -2.1]), b=torch.tensor([101.0]), zero=torch.ones(1))
    assert rounding.worst(found, exact) == dict(error=pytest.approx(0.05), gradient='a')


# The two finest levels of a feature pyramid, computed by Winograd convolutions, and those of ResNet-18, which are
# composed; with as many pixels, but fewer channels.
@pytest.mark.parametrize(('sizes', 'channels', 'mid_channels', 'way'), [
    ([(128, 128), (64, 64)], 64, 64, 'winograd'), ([(112, 112), (56, 56)], 16, 64, 'composed')])
def test_gradients_of_large_maps_keep_the_promise(sizes, channels, mid_channels, way, monkeypatch):
    connector, students, teachers = pyramid(sizes, CPU, channels, mid_channels)
    monkeypatch.setattr(plan, 'cheapest_convolution', lambda costs: way if way in costs else 'direct')
    errors = rounding.errors_of(connector, students, teachers)
    for row in ('ours, NCHW', 'ours, channels_last'):
        assert errors[row]['error'] < rounding.PROMISE, errors[row]
