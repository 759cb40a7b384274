"""The last normalization is computed by the connector or by the loss, with the same results."""

import copy

import pytest
import torch
from torch import nn

from mmreviewkd.models import (
    AttentionTransferLoss,
    FeatureL2Loss,
    HierarchicalContextLoss,
    PairwiseConnector,
    PearsonCorrelationLoss,
    ReviewConnector,
    SameLevelConnector,
)
from mmreviewkd.models.distillers.comparison import distillation_loss
from mmreviewkd.utils.kept_bytes import bytes_kept

CHANNELS, TARGETS, SIZES = [4, 6], [5, 7], [(8, 6), (4, 3)]


def maps(channels, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, c, *size, generator=generator, dtype=torch.float64) for c, size in zip(channels, SIZES)]


def connector_of(kind=ReviewConnector, **settings):
    torch.manual_seed(0)
    return kind(CHANNELS, TARGETS, **settings).double()


def results(connector, compare):
    connector, features = copy.deepcopy(connector), [f.requires_grad_() for f in maps(CHANNELS, 1)]
    loss = compare(connector, features, maps(TARGETS, 2))
    loss.backward()
    return [loss.detach(), *(f.grad for f in features), *(p.grad for p in connector.parameters()),
            *connector.buffers()]


@pytest.mark.parametrize('loss', [
    HierarchicalContextLoss(2.0), FeatureL2Loss(), PearsonCorrelationLoss(3.0), AttentionTransferLoss(1.0)])
@pytest.mark.parametrize(('kind', 'settings'), [
    (ReviewConnector, dict(mid_channels=8, implementation='fast')),
    (ReviewConnector, dict(mid_channels=8, implementation='fast', with_cp=True)),
    (ReviewConnector, dict(mid_channels=8, implementation='plain')), (PairwiseConnector, {}), (SameLevelConnector, {})])
def test_equals_connector_and_loss_one_after_the_other(kind, settings, loss):
    def one_after_the_other(connector, features, targets):
        outputs = connector(features, [t.shape[-2:] for t in targets])
        return loss(outputs, connector.targets(targets))

    connector = connector_of(kind, **settings)
    expected = results(connector, one_after_the_other)
    actual = results(connector, lambda *arguments: distillation_loss(arguments[0], loss, *arguments[1:]))
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('loss', [HierarchicalContextLoss(), PearsonCorrelationLoss()])
def test_outputs_need_not_be_kept(loss):
    connector, kept = connector_of(mid_channels=8, implementation='fast'), []
    outputs = [t.numel() * t.itemsize for t in maps(TARGETS, 2)]
    for change in (lambda: None, lambda: connector.register_forward_hook(lambda *_: None)):
        change()
        kept.append(bytes_kept(lambda: distillation_loss(
            connector, loss, [f.requires_grad_() for f in maps(CHANNELS, 1)], maps(TARGETS, 2)),
            connector.parameters())[0])
    # Otherwise the output of conv2 is kept beside the gradient of the loss.
    assert kept[1] - kept[0] > 0.95 * sum(outputs)


def test_hooks_see_the_outputs():
    connector, loss, seen = connector_of(mid_channels=8, implementation='fast'), HierarchicalContextLoss(), []
    connector.register_forward_hook(lambda module, inputs, outputs: seen.extend(outputs))
    loss.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs[0]))
    distillation_loss(connector, loss, maps(CHANNELS, 1), maps(TARGETS, 2))
    assert [tuple(output.shape) for output in seen] == 2 * [(4, 5, 8, 6), (4, 7, 4, 3)]


def test_a_loss_of_ones_own_is_given_maps():
    class Own(HierarchicalContextLoss):
        def forward(self, students, teachers):
            return sum(nn.functional.l1_loss(s, t) for s, t in zip(students, teachers))

    assert distillation_loss(connector_of(mid_channels=8, implementation='fast'), Own(), maps(CHANNELS, 1),
                             maps(TARGETS, 2)) > 0
