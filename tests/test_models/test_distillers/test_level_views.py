"""What is shown of a level is what is compared in training, and looking changes nothing."""

import copy

import pytest
import torch
from conftest import STAGES, gray_batch, review_config
from mmengine.registry import MODELS

from mmreviewkd.models.distillers.level_views import attention_maps, level_losses, level_views
from mmreviewkd.ops import attention_based_fusion, hierarchical_context_loss


@pytest.fixture
def distiller(probes_of_32_pixels):
    return started()


def started(**changes):
    torch.manual_seed(0)
    model = MODELS.build(review_config(**changes))
    model.init_weights()
    return model.train()


def images(distiller):
    return distiller.data_preprocessor(gray_batch(), False)['inputs'].float() / 128 - 1


def test_a_view_holds_the_compared_features_and_their_distance(distiller):
    batch = images(distiller)
    views = level_views(distiller, batch)
    targets = distiller.frozen_teacher.levels(batch)
    assert len(views) == 4
    for view, target in zip(views, targets):
        assert view.student.shape == view.teacher.shape and torch.equal(view.teacher, target)
        torch.testing.assert_close(view.distance, hierarchical_context_loss([view.student], [view.teacher]))


def test_a_distance_has_the_weight_one(probes_of_32_pixels):
    light, heavy = (
        started(distill_loss=dict(type='HierarchicalContextLoss', loss_weight=weight)) for weight in (1.0, 7.0))
    batch = images(light)
    for one, other in zip(level_views(light, batch), level_views(heavy, batch)):
        torch.testing.assert_close(one.distance, other.distance)


def test_attention_weighs_a_level_and_its_residual(distiller):
    connector = distiller.connector.eval()
    generator = torch.Generator().manual_seed(1)
    features = [torch.randn(2, c, s, s, generator=generator) for c, s in zip(connector.in_channels, (8, 4, 2, 1))]
    sizes = [(8, 8), (4, 4), (2, 2), (1, 1)]
    maps = attention_maps(connector, features, sizes)
    assert maps[3] is None and [tuple(m.shape) for m in maps[:3]] == [(2, 2, s, s) for s in (8, 4, 2)]
    with torch.no_grad():
        _, residual = connector.blocks[3](features[3], None, (1, 1))
        block = connector.blocks[2]
        level, conv = block.conv1(features[2]), block.att_conv[0]
        fused = attention_based_fusion(level, residual, conv.weight, conv.bias)
    torch.testing.assert_close(maps[2][:, :1] * level + maps[2][:, 1:] * residual, fused)


def test_looking_changes_nothing(distiller):
    distiller.student.backbone.layer1.eval()  # a frozen stage
    before = copy.deepcopy(distiller.state_dict())
    flags = [module.training for module in distiller.modules()]
    torch.manual_seed(5)
    level_views(distiller, images(distiller))
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert [module.training for module in distiller.modules()] == flags
    assert all(torch.equal(value, before[name]) for name, value in distiller.state_dict().items())
    assert all(parameter.grad is None for parameter in distiller.parameters())


@pytest.mark.parametrize(('changes', 'count'), [
    (dict(connector=dict(type='ReviewConnector', fusion='add')), 4),
    (dict(connector=dict(type='SameLevelConnector')), 4),
    (dict(connector=dict(type='PairwiseConnector')), 10),
    (dict(connector=None, distill_loss=dict(type='AttentionTransferLoss')), 4),
], ids=['add', 'same level', 'pairwise', 'none'])
def test_other_connectors_have_views_without_attention(probes_of_32_pixels, changes, count):
    distiller = started(**changes)
    views = level_views(distiller, images(distiller))
    assert len(views) == count and all(view.attention is None and view.distance >= 0 for view in views)


def test_logits_are_no_level(probes_of_32_pixels):
    base = review_config()
    for part in ('student', 'teacher'):
        base[part] = dict(base[part], logits='head.fc')
    both = MODELS.build(dict(base, logit_loss=dict(type='LogitDistillationLoss')))
    both.init_weights()
    assert len(level_views(both, images(both))) == 4
    for part in ('student', 'teacher'):
        base[part] = dict(base[part], taps=[])
    alone = MODELS.build(dict(base, logit_loss=dict(type='LogitDistillationLoss'), distill_loss=None, connector=None))
    alone.init_weights()
    assert level_views(alone, images(alone)) == ()


def test_the_losses_of_the_levels_add_up(distiller):
    batch = distiller.data_preprocessor(gray_batch(), True)
    batch['inputs'] = batch['inputs'].float() / 128 - 1
    seen = {}
    distiller.observer = lambda losses, features, targets: seen.update(
        total=losses['loss_distill'].detach(), parts=level_losses(distiller.distill_loss, features, targets))
    distiller(**batch, mode='loss')
    assert len(seen['parts']) == len(STAGES)
    torch.testing.assert_close(sum(seen['parts']), seen['total'])


def test_a_level_of_a_single_value_has_no_distance_by_correlation(probes_of_32_pixels):
    model = started(connector=dict(type='SameLevelConnector'), distill_loss=dict(type='PearsonCorrelationLoss'))
    *maps, pooled = level_views(model, images(model)[:1])
    assert all(view.distance > 0 for view in maps) and pooled.distance.isnan()
