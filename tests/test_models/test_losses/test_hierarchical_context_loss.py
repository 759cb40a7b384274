"""HCL against reference numbers and its own definition."""

import pytest
import torch
from conftest import ReferenceCase

from mmreviewkd.models import FeatureL2Loss, HierarchicalContextLoss, feature_l2_loss, hierarchical_context_loss
from mmreviewkd.utils import ConfigError


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
def test_equals_the_reference_at_every_size(dtype, tolerance):
    case = ReferenceCase('hierarchical_context_loss', dtype)
    students, teachers = case.levels('student'), case.levels('teacher')
    assert len(students) >= 10
    for i, (student, teacher) in enumerate(zip(students, teachers)):
        student.requires_grad_()
        loss = hierarchical_context_loss(student, teacher)
        loss.backward()
        torch.testing.assert_close(loss, case.tensor(f'loss.{i}'), rtol=tolerance, atol=0)
        torch.testing.assert_close(student.grad, case.tensor(f'grad_student.{i}'), rtol=tolerance, atol=tolerance)


def test_levels_are_summed_and_weighted():
    generator = torch.Generator().manual_seed(0)
    students = [torch.randn(2, 3, s, s, generator=generator) for s in (8, 4)]
    teachers = [torch.randn(2, 3, s, s, generator=generator) for s in (8, 4)]
    apart = sum(hierarchical_context_loss(s, t) for s, t in zip(students, teachers))
    torch.testing.assert_close(HierarchicalContextLoss(loss_weight=3.0)(students, teachers), 3 * apart)


def test_half_precision_is_raised_to_single():
    student, teacher = torch.randn(2, 3, 8, 8).bfloat16(), torch.randn(2, 3, 8, 8).bfloat16()
    loss = hierarchical_context_loss(student, teacher)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, hierarchical_context_loss(student.float(), teacher.float()))


def test_feature_l2_is_the_mean_square():
    student, teacher = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    expected = torch.nn.functional.mse_loss(student, teacher)
    torch.testing.assert_close(feature_l2_loss([student, student], [teacher, teacher]), 2 * expected)
    torch.testing.assert_close(FeatureL2Loss(0.5)([student], [teacher]), expected / 2)


def test_differing_shapes_are_named():
    with pytest.raises(ValueError, match=r'\(2, 3, 4, 4\).*\(2, 3, 2, 2\)'):
        hierarchical_context_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 2, 2))


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(pool_sizes=(4, 0)), 'pool_sizes'), (dict(loss_wieght=1), "did you mean 'loss_weight'")])
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        HierarchicalContextLoss(**arguments)
