"""Pairs of feature maps: single tensors, precision and shapes."""

import pytest
import torch

from mmreviewkd.ops.feature_pairs import at_least_single, paired_levels


def test_a_single_map_is_one_level():
    student, teacher = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert paired_levels(student, [teacher]) == ((student,), (teacher,))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_only_half_precision_is_cast(dtype):
    half, double = torch.rand(1, 2, 3, 3).to(dtype), torch.rand(1, 2, 2, 2).double()
    assert at_least_single(half).dtype == torch.float32 and torch.equal(at_least_single(half), half.float())
    assert at_least_single(double) is double


@pytest.mark.parametrize('sizes', [[8], [8, 4, 2], [8, 2], [4, 8]])
def test_maps_that_would_broadcast_or_be_dropped_are_refused(sizes):
    student = [torch.zeros(2, 1, s, s) for s in (8, 4)]
    with pytest.raises(ValueError, match=r'\[\(2, 1, 8, 8\), \(2, 1, 4, 4\)\] and \[\(2, 1, '):
        paired_levels(student, [torch.zeros(2, 1, s, s) for s in sizes])
    with pytest.raises(ValueError, match='must have the same shapes'):
        paired_levels(student[0], torch.zeros(2, 3, 8, 8))
