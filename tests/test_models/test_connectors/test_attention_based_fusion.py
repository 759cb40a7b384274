"""The module of one level."""

import pytest
import torch

from mmreviewkd.models import AdditionFusion, AttentionBasedFusion, attention_based_fusion
from mmreviewkd.ops import resize_nearest


def test_is_its_convolutions_around_the_fusion():
    torch.manual_seed(0)
    block = AttentionBasedFusion(3, 4, 5).double().eval()
    feature, residual = torch.randn(2, 3, 5, 7).double(), torch.randn(2, 4, 2, 3).double()
    output, fused = block(feature, residual, (9, 8))
    expected = resize_nearest(
        attention_based_fusion(block.conv1(feature), residual, *block.att_conv[0].parameters()), (9, 8))
    torch.testing.assert_close(fused, expected)
    torch.testing.assert_close(output, block.conv2(expected))


def test_without_residual_there_is_nothing_to_fuse():
    block = AttentionBasedFusion(3, 4, 5, fuse=False)
    feature = torch.randn(2, 3, 5, 7)
    assert block.att_conv is None
    torch.testing.assert_close(block.eval()(feature)[1], block.conv1(feature))


@pytest.mark.parametrize('kind', [AttentionBasedFusion, AdditionFusion])
def test_convolutions_start_kaiming_uniform(kind):
    torch.manual_seed(0)
    block = kind(6, 32, 8)
    for weight in (block.conv1[0].weight, block.conv2[0].weight):
        # With a=1: within sqrt(3 / inputs).
        bound = (3 / weight[0].numel()) ** 0.5
        assert 0.8 * bound < weight.abs().max() <= bound
