"""Review paths that do not nest against their formulas."""

import pytest
import textbook
import torch
import torch.nn.functional as F
from conftest import review_config
from mmengine.registry import MODELS

from mmreviewkd.models import PairwiseConnector, feature_l2_loss
from mmreviewkd.utils import ConfigError

STUDENT = [(4, (9, 7)), (6, (5, 4)), (8, (1, 1))]
TEACHER = [(5, (18, 14)), (7, (5, 4)), (9, (1, 1))]


def features(levels, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(3, channels, *size, generator=generator, dtype=torch.float64, requires_grad=True)
        for channels, size in levels]


def connector(**settings):
    torch.manual_seed(0)
    built = PairwiseConnector([c for c, _ in STUDENT], [c for c, _ in TEACHER], **settings).double()
    for parameter in built.parameters():
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return built


@pytest.mark.parametrize('pairs', [None, [(2, 0)], [(0, 2), (1, 1), (0, 0)]])
def test_equals_the_formulas(pairs):
    path = connector(mid_channels=3, pairs=pairs)
    students, teachers = features(STUDENT, 1), features(TEACHER, 2)
    state = dict(path.named_parameters())
    loss = feature_l2_loss(path(students, [size for _, size in TEACHER]), path.targets(teachers))

    expected = 0
    for k, (i, j) in enumerate(pairs or [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]):
        x = F.conv2d(students[i], state[f'blocks.{k}.conv1.0.weight'])
        x = textbook.nearest(textbook.batch_norm(x, state, f'blocks.{k}.conv1.1'), TEACHER[j][1])
        x = F.conv2d(x, state[f'blocks.{k}.conv2.0.weight'], padding=1)
        x = textbook.batch_norm(x, state, f'blocks.{k}.conv2.1')
        expected = expected + (x - teachers[j]).square().mean()
    torch.testing.assert_close(loss, expected)
    used = [s for i, s in enumerate(students) if any(pair[0] == i for pair in path.pairs)] + [*path.parameters()]
    for ours, theirs in zip(torch.autograd.grad(loss, used), torch.autograd.grad(expected, used)):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_transforms_start_like_those_of_the_review_path():
    conv1, conv2 = (getattr(connector().blocks[0], name)[0].weight for name in ('conv1', 'conv2'))
    assert conv1.shape == (8, 4, 1, 1) and conv2.shape == (5, 8, 3, 3)
    for weight in (conv1, conv2):
        # Kaiming uniform, a=1: within sqrt(3 / inputs).
        bound = (3 / weight[0].numel()) ** 0.5
        assert 0.7 * bound < weight.abs().max() <= bound


def test_the_distiller_compares_pair_by_pair():
    torch.manual_seed(0)
    distiller = MODELS.build(review_config(
        connector=dict(type='PairwiseConnector', pairs=[[2, 0], [3, 3]]), distill_loss=dict(type='FeatureL2Loss')))
    assert [block.conv1[0].in_channels for block in distiller.connector.blocks] == [16, 16]
    assert [block.conv2[0].out_channels for block in distiller.connector.blocks] == [8, 32]
    distiller.init_weights()
    guides, inputs = {}, torch.randn(4, 1, 28, 28)

    def keep(features, sizes, original=distiller.connector.forward):
        guides['outputs'] = original(features, sizes)
        return guides['outputs']

    distiller.connector.forward = keep
    from mmpretrain.structures import DataSample
    losses = distiller(inputs, [DataSample().set_gt_label(i) for i in range(4)], mode='loss')
    teacher = distiller.frozen_teacher.levels(inputs, None)
    fine, pooled = guides['outputs']
    torch.testing.assert_close(
        losses['loss_distill'], (fine - teacher[0]).square().mean() + (pooled - teacher[3]).square().mean())


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(pairs=[]), 'pairs must be different'),
    (dict(pairs=[(0, 3)]), r'levels 0 to 2, but is \[\(0, 3\)\]'),
    (dict(pairs=[(0, -1)]), 'levels 0 to 2'),
    (dict(pairs=[(1, 1), (1, 1)]), 'different'),
    (dict(pairs=[0, 1]), 'pairs must be'),
    (dict(pairs=[(0, 'a')]), 'pairs must be'),
    (dict(mid_channels=0), 'PairwiseConnector: mid_channels'),
    (dict(pair=[(0, 0)]), "did you mean 'pairs'"),
])
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        PairwiseConnector([1, 2, 3], [1, 2, 3], **settings)


def test_wrong_number_of_features_is_named():
    with pytest.raises(ValueError, match='3 levels, but was given 2'):
        connector()(features(STUDENT, 0)[:2], [(1, 1)] * 3)
