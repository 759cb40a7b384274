"""The L2 loss between feature maps against its definition."""

import torch
from adjoint import normal

from mmreviewkd.ops import feature_l2_loss


def test_is_the_mean_square_summed_over_levels():
    students, teachers = ([normal(2, 3, s, s, seed=s + i) for s in (8, 5)] for i in (0, 50))
    expected = sum(torch.nn.functional.mse_loss(s, t) for s, t in zip(students, teachers))
    torch.testing.assert_close(feature_l2_loss(students, teachers), expected)


def test_gradients():
    assert torch.autograd.gradcheck(feature_l2_loss, [normal(2, 3, 5, 7, seed=i).requires_grad_() for i in range(2)])
