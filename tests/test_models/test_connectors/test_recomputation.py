"""Activation checkpointing of a level."""

import torch

from mmreviewkd.models import AttentionBasedFusion
from mmreviewkd.models.connectors.recomputation import checkpointed


def test_a_batch_counts_once_and_gradients_stay():
    torch.manual_seed(0)
    block, feature = AttentionBasedFusion(2, 3, 4, fuse=False).double(), torch.randn(2, 2, 5, 7).double()
    expected = torch.autograd.grad(block(feature)[0].square().sum(), [*block.parameters()])
    other = AttentionBasedFusion(2, 3, 4, fuse=False).double()
    other.load_state_dict(block.state_dict())
    for norm in (block.conv1[1], other.conv1[1], block.conv2[1], other.conv2[1]):
        norm.reset_running_stats()
    block(feature)
    actual = torch.autograd.grad(
        checkpointed(other, other)(feature, None, (5, 7))[0].square().sum(), [*other.parameters()])
    for one, two in zip(actual, expected):
        torch.testing.assert_close(one, two)
    for one, two in zip(other.buffers(), block.buffers()):
        torch.testing.assert_close(one, two)
    assert other.conv1[1].num_batches_tracked == 1 and other.conv1[1].momentum == 0.1


def test_gradients_can_be_computed_twice():
    """As by a hook that logs the gradients' norms before the step's own backward pass."""
    torch.manual_seed(0)
    block, feature = AttentionBasedFusion(2, 3, 4, fuse=False).double(), torch.randn(2, 2, 5, 7).double()
    loss = checkpointed(block, block)(feature, None, (5, 7))[0].square().sum()
    first = torch.autograd.grad(loss, [*block.parameters()], retain_graph=True)
    second = torch.autograd.grad(loss, [*block.parameters()])
    assert all(map(torch.equal, first, second))
    assert block.conv1[1].num_batches_tracked == 1 and block.conv1[1].momentum == 0.1
