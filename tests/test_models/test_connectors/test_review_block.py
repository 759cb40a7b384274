"""The part that all kinds of levels share: channels, initial weights and sizes."""

import pytest
import torch

from mmreviewkd.models.connectors.review_block import ReviewBlock
from mmreviewkd.ops import resize_nearest
from mmreviewkd.utils import ConfigError


class Doubled(ReviewBlock):
    """Ignores the residual, and doubles the level's map."""

    def fuse(self, feature, residual):
        return 2 * feature


@pytest.mark.parametrize('target', [None, (10, 3)])
def test_the_fused_map_is_resized_before_the_second_convolution(target):
    torch.manual_seed(0)
    block, feature = Doubled(3, 4, 5).eval(), torch.randn(2, 3, 5, 7)
    output, fused = block(feature, None, target)
    torch.testing.assert_close(fused, resize_nearest(2 * block.conv1(feature), target or (5, 7)))
    torch.testing.assert_close(output, block.conv2(fused))
    assert output.shape == (2, 5, *(target or (5, 7)))


@pytest.mark.parametrize('size', [2, 0, True, 1.0, '3', None, [1, 1]])
def test_other_sizes_of_the_kernel_are_refused(size):
    with pytest.raises(ConfigError, match=r'^ReviewBlock: kernel_size must be (1 or 3|an integer), but is '):
        ReviewBlock(2, 2, 2, kernel_size=size)


def test_initial_weights_fill_the_kaiming_uniform_range():
    torch.manual_seed(0)
    block = ReviewBlock(16, 32, 32)
    block.initialize_convolutions()
    for weight in (block.conv1[0].weight, block.conv2[0].weight):
        bound = (3 / weight[0].numel()) ** 0.5
        assert 0.95 * bound < weight.abs().max() <= bound


@pytest.mark.parametrize(('channels', 'message'), [
    ((0, 4, 5), 'Doubled: in_channels'), ((3, 4.5, 5), 'Doubled: mid_channels'),
    ((3, 4, '5'), 'Doubled: out_channels')])
def test_channels_that_are_no_positive_integer_are_named(channels, message):
    with pytest.raises(ConfigError, match=message):
        Doubled(*channels)
