"""Attention transfer against its definition."""

import pytest
import torch

from mmreviewkd.ops import attention_transfer_loss


def maps(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]


def attention(feature):
    """Of one image, ``[C, H, W]``: written out."""
    energy = (feature * feature).sum(0)
    return energy / (energy * energy).sum().sqrt()


def test_equals_the_definition():
    students, teachers = maps((2, 3, 6, 4), (2, 5, 3, 2)), maps((2, 7, 6, 4), (2, 4, 3, 2), seed=1)
    expected = sum(
        sum((attention(s[n]) - attention(t[n])).square().sum() for n in range(2)) / (2 * s[0, 0].numel())
        for s, t in zip(students, teachers))
    loss = attention_transfer_loss(students, teachers)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(torch.autograd.grad(loss, students), torch.autograd.grad(expected, students)):
        torch.testing.assert_close(ours, theirs)


def test_gradients():
    student, teacher = maps((1, 2, 5, 7), (1, 3, 7, 5))
    assert torch.autograd.gradcheck(lambda s, t: attention_transfer_loss([s], [t]), (student, teacher))


def test_sizes_may_differ_and_strength_does_not_matter():
    student, = maps((2, 3, 3, 2))
    larger = student.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert attention_transfer_loss([student], [3 * larger]) < 1e-20
    assert attention_transfer_loss([student], maps((2, 3, 6, 4), seed=1)) > 1e-3


def test_half_precision_and_silent_maps_are_safe():
    quiet = torch.zeros(2, 3, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    loss = attention_transfer_loss([quiet], [torch.ones(2, 3, 4, 4, dtype=torch.bfloat16)])
    loss.backward()
    assert loss.dtype == torch.float32 and quiet.grad.isfinite().all()


def test_differing_numbers_of_levels_are_named():
    with pytest.raises(ValueError, match='1 levels of the student and 2 of the teacher'):
        attention_transfer_loss(maps((1, 1, 2, 2)), maps((1, 1, 2, 2), (1, 1, 2, 2)))
