"""Channel-wise distillation against its definition."""

import pytest
import torch

from mmreviewkd.ops import channel_wise_divergence


def test_equals_the_definition():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, 4, 5, generator=generator, dtype=torch.float64)
    expected = 0.0
    for s, t in zip(student.reshape(6, 20), teacher.reshape(6, 20)):
        p, q = (t / 2).exp() / (t / 2).exp().sum(), (s / 2).exp() / (s / 2).exp().sum()
        expected += 4 * (p * (p / q).log()).sum() / 6
    torch.testing.assert_close(channel_wise_divergence(student, teacher, 2.0), expected)


def test_levels_add_up():
    generator = torch.Generator().manual_seed(1)
    levels = [torch.randn(2, 2, 3, side, side, generator=generator) for side in (6, 3)]
    expected = sum(channel_wise_divergence(student, teacher) for student, teacher in levels)
    torch.testing.assert_close(channel_wise_divergence(*zip(*levels)), expected)


def test_only_the_shape_within_a_channel_counts():
    feature = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    assert channel_wise_divergence(feature, feature + torch.randn(2, 3, 1, 1)).abs() < 1e-5
    assert channel_wise_divergence(feature, feature.flip(3)) > 0.1


def test_vectors_are_refused():
    with pytest.raises(ValueError, match=r'maps \[N, C, H, W\] are needed.*\(2, 10\)'):
        channel_wise_divergence(torch.zeros(2, 10), torch.zeros(2, 10))
