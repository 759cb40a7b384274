"""The registered module of the L2 loss."""

import torch

from mmreviewkd.models import FeatureL2Loss, feature_l2_loss


def test_is_weighted():
    student, teacher = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(FeatureL2Loss(0.5)([student], [teacher]), feature_l2_loss(student, teacher) / 2)
