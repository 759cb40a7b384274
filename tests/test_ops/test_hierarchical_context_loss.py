"""The definition of HCL against reference numbers."""

import pytest
import torch
from conftest import ReferenceCase

from mmreviewkd.ops import hierarchical_context_loss, level_hcl


@pytest.mark.parametrize('function', [level_hcl, hierarchical_context_loss])
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.float64, 1e-6)])
def test_equals_the_reference_at_every_size(function, dtype, tolerance):
    case = ReferenceCase('hierarchical_context_loss', dtype)
    students, teachers = case.levels('student'), case.levels('teacher')
    assert len(students) >= 10
    for i, (student, teacher) in enumerate(zip(students, teachers)):
        student.requires_grad_()
        loss = function(student, teacher)
        loss.backward()
        torch.testing.assert_close(loss, case.tensor(f'loss.{i}'), rtol=tolerance, atol=0)
        torch.testing.assert_close(student.grad, case.tensor(f'grad_student.{i}'), rtol=tolerance, atol=tolerance)


def test_levels_are_summed():
    generator = torch.Generator().manual_seed(0)
    students, teachers = ([torch.randn(2, 3, s, s, generator=generator) for s in (8, 4)] for _ in range(2))
    apart = sum(level_hcl(s, t) for s, t in zip(students, teachers))
    torch.testing.assert_close(hierarchical_context_loss(students, teachers), apart)


def test_half_precision_is_raised_to_single():
    student, teacher = torch.randn(2, 3, 8, 8).bfloat16(), torch.randn(2, 3, 8, 8).bfloat16()
    loss = hierarchical_context_loss(student, teacher)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, level_hcl(student.float(), teacher.float()))


def test_differing_shapes_are_named():
    with pytest.raises(ValueError, match=r'\(2, 3, 4, 4\).*\(2, 3, 2, 2\)'):
        hierarchical_context_loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 2, 2))
