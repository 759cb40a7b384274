"""Decoupled logit distillation against its definition, written out class by class in double precision."""

import math

import numpy as np
import pytest
import torch

from mmreviewkd.ops import decoupled_logit_loss, logit_distillation_loss


def logits(*shape, seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(2, *shape, generator=generator, dtype=torch.float64)


def divergence(q, p):
    return sum(a * math.log(a / b) for a, b in zip(q, p))


def of_one_image(student, teacher, target, alpha, beta, temperature):
    """Equations of Sec. 3 with plain numbers."""
    p, q = (np.exp(row / temperature) / np.exp(row / temperature).sum() for row in (student, teacher))
    others = [k for k in range(len(p)) if k != target]
    own = divergence([q[target], q[others].sum()], [p[target], p[others].sum()])
    among_others = divergence(q[others] / q[others].sum(), p[others] / p[others].sum())
    return temperature**2 * (alpha * own + beta * among_others)


@pytest.mark.parametrize(('alpha', 'beta', 'temperature'), [(1.0, 8.0, 4.0), (0.5, 0.0, 1.0), (0.0, 2.0, 2.0)])
def test_equals_the_definition(alpha, beta, temperature):
    student, teacher = logits(6, 5)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    expected = np.mean([
        of_one_image(s, t, c, alpha, beta, temperature)
        for s, t, c in zip(student.numpy(), teacher.numpy(), labels.tolist())])
    found = decoupled_logit_loss(student, teacher, labels, alpha, beta, temperature)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_gradients():
    student, teacher = logits(4, 5)
    scores = torch.tensor([[0.3, 0.7, 0, 0, 0]], dtype=torch.float64).repeat(4, 1)
    assert torch.autograd.gradcheck(
        lambda s: decoupled_logit_loss(s, teacher, scores, temperature=1.0), student.requires_grad_())


def test_mixed_images_cost_the_mean_over_their_classes():
    student, teacher = logits(3, 4)
    first, second = torch.tensor([0, 1, 2]), torch.tensor([3, 3, 0])
    scores = 0.25 * torch.eye(4)[first] + 0.75 * torch.eye(4)[second]
    expected = sum(
        share * decoupled_logit_loss(student, teacher, labels) for share, labels in ((0.25, first), (0.75, second)))
    torch.testing.assert_close(decoupled_logit_loss(student, teacher, scores), expected)


def test_its_parts_sum_to_logit_distillation():
    """KD = TCKD + (1 - q_c) NCKD, the paper's Eq. 7."""
    student, teacher = logits(1, 6)
    rest = 1 - (teacher / 2).softmax(1)[0, 3].item()
    found = decoupled_logit_loss(student, teacher, torch.tensor([3]), alpha=1.0, beta=rest, temperature=2.0)
    torch.testing.assert_close(found.float(), logit_distillation_loss(student, teacher, 2.0))


@pytest.mark.parametrize('student_is_sure', [False, True])
def test_a_teacher_sure_of_its_class_does_not_cancel(student_is_sure):
    """In single precision the likeliest class has the probability 1, the others still their order."""
    student, teacher = logits(3, 4)
    teacher[:, 1] += 200
    student[:, 1] += 200 * student_is_sure
    for label in (0, 1):
        labels = torch.full((3,), label)
        single = student.float().requires_grad_()
        found = decoupled_logit_loss(single, teacher.float(), labels, temperature=1.0)
        expected = decoupled_logit_loss(student, teacher, labels, temperature=1.0)
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
        assert torch.autograd.grad(found, single)[0].isfinite().all()


def test_half_precision_is_computed_in_single():
    student, teacher = logits(3, 4).half()
    assert decoupled_logit_loss(student, teacher, torch.zeros(3, dtype=torch.long)).dtype == torch.float32


@pytest.mark.parametrize(('shapes', 'message'), [
    ([(2, 10), (2, 100), (2,)], r'\(2, 10\) and \(2, 100\)'),
    ([(2, 3, 4, 4), (2, 3, 4, 4), (2,)], r'\[N, classes\]'),
    ([(2, 1), (2, 1), (2,)], 'two classes at least'),
    ([(2, 3), (2, 3), (3,)], r'targets must be classes \[N\] or scores \[N, classes\], but are \(3,\)')])
def test_unfit_shapes_are_named(shapes, message):
    with pytest.raises(ValueError, match=message):
        decoupled_logit_loss(*map(torch.zeros, shapes))
