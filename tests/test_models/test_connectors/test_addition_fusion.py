"""The review path that adds against its formulas."""

import pytest
import textbook
import torch
import torch.nn.functional as F

from mmreviewkd.models import ReviewConnector
from mmreviewkd.utils import ConfigError

CHANNELS, OUT = [4, 6, 8], [5, 7, 9]
SIZES, TARGETS = [(9, 7), (5, 4), (1, 1)], [(18, 14), (5, 4), (1, 1)]


def adding(**settings):
    torch.manual_seed(0)
    connector = ReviewConnector(CHANNELS, OUT, fusion='add', **settings).double()
    for parameter in connector.parameters():
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return connector


def student_features():
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(8, c, *size, generator=generator, dtype=torch.float64, requires_grad=True)
        for c, size in zip(CHANNELS, SIZES)]


def by_hand(students, state):
    outputs, residual = [], None
    for k in (2, 1, 0):
        x = F.conv2d(students[k], state[f'blocks.{k}.conv1.0.weight'])
        x = textbook.batch_norm(x, state, f'blocks.{k}.conv1.1')
        x = x if residual is None else x + textbook.nearest(residual, x.shape[2:])
        residual = textbook.nearest(x, TARGETS[k])
        out = F.conv2d(residual, state[f'blocks.{k}.conv2.0.weight'], padding=1)
        outputs.insert(0, textbook.batch_norm(out, state, f'blocks.{k}.conv2.1'))
    return outputs


@pytest.mark.parametrize('implementation', ['plain', 'fast', 'auto'])
@pytest.mark.parametrize('with_cp', [False, True])
def test_equals_the_formulas(implementation, with_cp):
    connector = adding(implementation=implementation, with_cp=with_cp, mid_channels=8)
    students = student_features()
    inputs = [*students, *connector.parameters()]
    outputs, expected = connector(students, TARGETS), by_hand(students, dict(connector.named_parameters()))
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(o.shape, generator=generator, dtype=o.dtype) for o in outputs]
    for ours, theirs in zip(outputs, expected):
        torch.testing.assert_close(ours, theirs)
    gradients = [
        torch.autograd.grad(sum((w * o).sum() for w, o in zip(weights, maps)), inputs) for maps in (outputs, expected)]
    for ours, theirs in zip(*gradients):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_has_no_attention_to_learn():
    assert not [name for name, _ in adding().named_parameters() if 'att_conv' in name]


def test_unknown_fusion_is_named():
    with pytest.raises(ConfigError, match="fusion must be 'abf' or 'add', but is 'mean'"):
        ReviewConnector([1], [1], fusion='mean')
