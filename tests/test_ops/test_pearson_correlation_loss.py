"""The loss of Pearson correlation against NumPy's correlation coefficients."""

import numpy as np
import pytest
import torch

from mmreviewkd.ops import pearson_correlation_loss


def maps(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]


SHAPES = (2, 3, 6, 4), (2, 4, 3, 2)


def test_equals_the_definition():
    students, teachers = maps(*SHAPES), maps(*SHAPES, seed=1)
    expected = sum(
        np.mean([1 - np.corrcoef(s[:, c].detach().flatten(), t[:, c].detach().flatten())[0, 1]
                 for c in range(s.shape[1])])
        for s, t in zip(students, teachers))
    assert pearson_correlation_loss(students, teachers).item() == pytest.approx(expected, rel=1e-9)


def test_gradients():
    student, teacher = maps((2, 2, 3, 2), (2, 2, 3, 2))
    assert torch.autograd.gradcheck(pearson_correlation_loss, (student, teacher))


def test_mean_and_scale_of_a_channel_do_not_matter():
    student, teacher = maps((2, 3, 6, 4), (2, 3, 6, 4))
    expected = pearson_correlation_loss(student, teacher)
    scale = torch.tensor([0.1, 2.0, 300.0]).view(3, 1, 1)
    torch.testing.assert_close(pearson_correlation_loss(student * scale - 5 * scale, teacher), expected)
    assert pearson_correlation_loss(teacher * scale + 7, teacher) < 1e-9
    assert pearson_correlation_loss(-teacher, teacher).item() == pytest.approx(2)


def test_half_precision_and_constant_channels_are_safe():
    constant = torch.full((2, 3, 4, 4), 2.0, dtype=torch.bfloat16, requires_grad=True)
    loss = pearson_correlation_loss(constant, torch.randn(2, 3, 4, 4).bfloat16())
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(0.5)
    assert constant.grad.isfinite().all()


def test_differing_shapes_are_named():
    with pytest.raises(ValueError, match='a connector maps'):
        pearson_correlation_loss(maps((1, 2, 3, 3)), maps((1, 3, 3, 3)))
