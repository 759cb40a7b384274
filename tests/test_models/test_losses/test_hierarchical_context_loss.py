"""The registered module of HCL."""

import pytest
import torch

from mmreviewkd.models import HierarchicalContextLoss, hierarchical_context_loss
from mmreviewkd.utils import ConfigError


def test_is_weighted():
    generator = torch.Generator().manual_seed(0)
    students, teachers = ([torch.randn(2, 3, s, s, generator=generator) for s in (8, 4)] for _ in range(2))
    expected = hierarchical_context_loss(students, teachers, (2, 1))
    torch.testing.assert_close(HierarchicalContextLoss(3.0, (2, 1))(students, teachers), 3 * expected)


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(pool_sizes=(4, 0)), 'pool_sizes'),
    (dict(loss_wieght=1), "did you mean 'loss_weight'")])
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        HierarchicalContextLoss(**arguments)
