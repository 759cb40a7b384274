"""The registered module of channel-wise distillation."""

import pytest
import torch

from mmreviewkd.models import ChannelWiseDivergence, channel_wise_divergence
from mmreviewkd.utils import ConfigError


def test_is_weighted():
    student, teacher = torch.randn(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = 0.5 * channel_wise_divergence(student, teacher, 2.0)
    loss = ChannelWiseDivergence(temperature=2.0, loss_weight=0.5)
    torch.testing.assert_close(loss(student, teacher), expected)
    torch.testing.assert_close(loss([student], [teacher]), expected)


def test_bad_temperature_is_named():
    with pytest.raises(ConfigError, match='temperature'):
        ChannelWiseDivergence(temperature=0)
