"""Logit distillation against its definition."""

import pytest
import torch

from mmreviewkd.ops import logit_distillation_loss


def test_equals_the_definition():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(5, 7, generator=generator), torch.randn(5, 7, generator=generator)
    p, q = (teacher / 4).softmax(1), (student / 4).softmax(1)
    expected = (p * (p / q).log()).sum(1).mean() * 16
    torch.testing.assert_close(logit_distillation_loss(student, teacher), expected)


def test_maps_are_compared_pixel_by_pixel():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 5, 3, 4, generator=generator)
    as_rows = [logits.permute(0, 2, 3, 1).reshape(-1, 5) for logits in (student, teacher)]
    torch.testing.assert_close(logit_distillation_loss(student, teacher, 2.0), logit_distillation_loss(*as_rows, 2.0))


def test_no_difference_costs_nothing():
    logits = torch.randn(3, 4)
    assert logit_distillation_loss(logits, logits + 5).abs() < 1e-5


def test_differing_shapes_are_named():
    with pytest.raises(ValueError, match=r'\(2, 10\) and \(2, 100\)'):
        logit_distillation_loss(torch.zeros(2, 10), torch.zeros(2, 100))
