"""Same-level distillation: a convolution for each level, nothing between levels."""

import pytest
import torch
import torch.nn.functional as F

from mmreviewkd.models import SameLevelConnector
from mmreviewkd.utils import ConfigError


def test_does_not_connect_levels():
    connector = SameLevelConnector([2, 3], [4, 5])
    features = [torch.randn(2, 2, 8, 8, requires_grad=True), torch.randn(2, 3, 4, 4, requires_grad=True)]
    fine, coarse = connector(features, [(8, 8), (2, 2)])
    assert coarse.shape == (2, 5, 2, 2)
    fine.sum().backward()
    assert features[1].grad is None


def test_is_a_normalized_1x1_convolution_resized_to_the_teacher():
    torch.manual_seed(0)
    connector, feature = SameLevelConnector([3], [4]).double(), torch.randn(2, 3, 4, 6).double()
    mapped = torch.einsum('oi,nihw->nohw', connector.blocks[0][0].weight[:, :, 0, 0], feature)
    mapped = (mapped - mapped.mean((0, 2, 3), True)) / (mapped.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(connector([feature], [(7, 3)])[0], F.interpolate(mapped, (7, 3), mode='nearest'))


def test_wrong_numbers_of_levels_are_named():
    with pytest.raises(ConfigError, match=r'SameLevelConnector: .*\[1, 2\] and \[1\]'):
        SameLevelConnector([1, 2], [1])
    connector, feature = SameLevelConnector([1, 1], [1, 1]), torch.zeros(2, 1, 2, 2)
    with pytest.raises(ValueError, match='2 levels, but was given 1'):
        connector([feature, feature], [(2, 2)])
