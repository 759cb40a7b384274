"""The registered module of logit distillation."""

import pytest
import torch

from mmreviewkd.models import LogitDistillationLoss, logit_distillation_loss
from mmreviewkd.utils import ConfigError


def test_is_weighted():
    student, teacher = torch.randn(5, 7), torch.randn(5, 7)
    expected = logit_distillation_loss(student, teacher, 2.0)
    torch.testing.assert_close(LogitDistillationLoss(2.0, loss_weight=0.5)(student, teacher), expected / 2)


def test_bad_temperature_is_named():
    with pytest.raises(ConfigError, match='temperature'):
        LogitDistillationLoss(temperature=0)
