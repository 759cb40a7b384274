"""Taps on real mmpretrain and mmdet models."""

import copy

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmreviewkd.models import FeatureTaps
from mmreviewkd.utils import TapError


@pytest.fixture(scope='module')
def resnet():
    pytest.importorskip('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='ImageClassifier',
        backbone=dict(type='ResNet', depth=18, out_indices=(0, 1, 2, 3), base_channels=8, stem_channels=8),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=64, loss=dict(type='CrossEntropyLoss')),
        _scope_='mmpretrain'))
    return model.eval()


def features(model, taps, images, **record):
    with FeatureTaps(taps).record(model, **record) as recording:
        model.extract_feat(images)
    return recording.features()


IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_names_modules_as_python_would(resnet):
    whole = resnet.backbone(IMAGES)
    paths = ['backbone.layer1', 'backbone.layer2[-1]', 'backbone.layer3.1', 'backbone.layer4[1]:output']
    for tapped, expected in zip(features(resnet, paths, IMAGES), whole):
        torch.testing.assert_close(tapped, expected, rtol=0, atol=0)


def test_a_tuple_gives_several_levels_and_a_vector_a_map_of_one_pixel(resnet):
    taps = FeatureTaps(['backbone', 'neck'])
    with taps.record(resnet) as recording:
        resnet.extract_feat(IMAGES)
    levels = recording.levels()
    assert [name for name, _ in levels] == [
        *(f'backbone:output[{i}]' for i in range(4)), *(f'neck:output[{i}]' for i in range(4))]
    assert levels[0][1].shape == (2, 8, 16, 16)
    assert levels[-1][1].shape == (2, 64, 1, 1)


def test_the_input_of_an_in_place_relu_is_truly_before_it(resnet):
    block = resnet.backbone.layer2[-1]
    assert block.relu.inplace
    x = resnet.backbone.layer1(resnet.backbone.maxpool(resnet.backbone.relu(resnet.backbone.norm1(
        resnet.backbone.conv1(IMAGES)))))
    x = resnet.backbone.layer2[0](x)
    before = block.norm2(block.conv2(block.relu(block.norm1(block.conv1(x))))) + x

    tapped, = features(resnet, ['backbone.layer2[-1].relu:input'], IMAGES)
    assert (tapped < 0).any()
    torch.testing.assert_close(tapped, before)
    torch.testing.assert_close(features(resnet, ['backbone.layer2'], IMAGES)[0], before.relu())
    assert block.relu.inplace


def test_a_feature_that_is_modified_in_place_is_refused_or_copied():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True))
    model.extract_feat = model.forward
    image = torch.randn(1, 1, 4, 4)
    taps = FeatureTaps(['[0]'])
    with pytest.raises(TapError, match='changed in place'), taps.record(model):
        model(image)
    with taps.record(model) as recording:
        model(image)
    torch.testing.assert_close(recording.features()[0], model[0](image), rtol=0, atol=0)


def test_the_last_call_counts(resnet):
    fc = resnet.head.fc
    with FeatureTaps(['head.fc']).record(resnet) as recording:
        fc(torch.zeros(1, 64))
        last = fc(torch.ones(1, 64))
    assert torch.equal(recording.features()[0].flatten(1), last)


@pytest.mark.parametrize('use_reentrant', [True, False])
def test_recomputation_by_checkpointing_is_not_recorded(use_reentrant):
    inner = nn.Conv2d(1, 1, 1)
    model = nn.ModuleDict(dict(inner=inner))
    image = torch.randn(1, 1, 2, 2, requires_grad=True)

    def forward():
        return torch.utils.checkpoint.checkpoint(inner, image, use_reentrant=use_reentrant)

    taps = FeatureTaps(['inner'])
    if use_reentrant:
        with pytest.raises(TapError, match='without autograd'), taps.record(model):
            forward()
        return
    with taps.record(model) as recording:
        out = forward()
    feature, = recording.features()
    out.sum().backward(retain_graph=True)
    assert recording.calls['inner'] == 1 and recording.features()[0] is feature
    image.grad = None
    feature.sum().backward()
    assert image.grad is not None


def test_copies_are_tapped_themselves(resnet):
    taps = FeatureTaps(['backbone.layer1'])
    twin = copy.deepcopy(resnet)
    with torch.no_grad():
        twin.backbone.conv1.weight.zero_()
    with taps.record(twin) as recording:
        twin.extract_feat(IMAGES)
        resnet.extract_feat(IMAGES)
    torch.testing.assert_close(recording.features()[0], twin.backbone(IMAGES)[0])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in resnet.modules())


def test_nothing_past_the_deepest_tap_runs(resnet):
    ran = []
    handles = [m.register_forward_hook(lambda m, *_, name=n: ran.append(name)) for n, m in resnet.named_modules()]
    taps = ['backbone.layer1', 'backbone.layer2[-1].relu:input']
    features(resnet, taps, IMAGES, stop_after={'backbone.layer1': 1, 'backbone.layer2[-1].relu:input': 2})
    for handle in handles:
        handle.remove()
    assert 'backbone.layer1' in ran
    assert not any(name.startswith(('backbone.layer3', 'neck')) for name in ran)
    assert resnet.backbone.layer2[-1].relu.inplace


def test_a_tap_without_a_feature_map_is_named(resnet):
    with pytest.raises(TapError, match=r'head.fc.*never called'):
        features(resnet, ['head.fc'], IMAGES)
    with FeatureTaps(['head'], 'student.taps').record(resnet) as recording:
        recording.note('head', torch.zeros(2, 7, 64))
    with pytest.raises(TapError, match=r"student.taps: 'head' gives no feature map but a tensor \(2, 7, 64\)"):
        recording.features()


def test_taps_must_be_a_list_of_different_names():
    for taps in ('neck', ['neck', 3], [dict(tap='neck')], dict(type='TokensToMap', tap='neck')):
        with pytest.raises(TapError, match='must be a list'):
            FeatureTaps(taps)
    with pytest.raises(TapError, match='twice'):
        FeatureTaps(['neck', 'neck'])


class _Stages(nn.Module):
    """Calls a part by keyword, and gives tokens with the size of their grid as Swin Transformers do."""

    def __init__(self):
        super().__init__()
        self.norm = nn.Identity()
        self.stage = _Stage()

    def forward(self, images):
        return self.stage(tokens=self.norm(images * 2))


class _Stage(nn.Module):
    def forward(self, tokens):
        return tokens + 1, tokens.shape[2:], None, tokens - 1


def test_inputs_by_keyword_are_read_and_elements_selected():
    model = _Stages()
    taps = FeatureTaps(['stage:input', 'stage', 'stage:output[-1]'])
    with taps.record(model) as recording:
        model(IMAGES)
    assert [name for name, _ in recording.levels()] == [
        'stage:input', 'stage:output[0]', 'stage:output[3]', 'stage:output[-1]']
    for feature, expected in zip(recording.features(), (IMAGES * 2, IMAGES * 2 + 1, IMAGES * 2 - 1, IMAGES * 2 - 1)):
        assert torch.equal(feature, expected)
    taps = FeatureTaps(['stage:output[7]'], 'student.taps')
    with pytest.raises(TapError, match=r"student.taps: 'stage:output\[7\]' selects an element that the tuple of 4"), \
            taps.record(model):
        model(IMAGES)


def test_attached_taps_stay_until_they_are_detached():
    model, passed = _Stages(), {}
    attached = FeatureTaps(['norm', 'stage:input']).attach(model, passed.__setitem__)
    model(IMAGES)
    assert torch.equal(passed.pop('norm'), passed.pop('stage:input'))
    attached.close()
    model(IMAGES)
    assert not passed and not model.norm._forward_hooks


class _Keywords(nn.Module):
    def __init__(self):
        super().__init__()
        self.stage = _Weighted()

    def forward(self, images):
        return self.stage(weight=images * 3, tokens=images * 2)


class _Weighted(nn.Module):
    def forward(self, tokens, weight):
        return tokens * weight


def test_of_several_keywords_the_first_argument_is_read():
    taps = FeatureTaps(['stage:input'])
    with taps.record(model := _Keywords()) as recording:
        model(IMAGES)
    assert torch.equal(recording.features()[0], IMAGES * 2)


class _Replaced(nn.Module):
    """Replaces an item of the list that a stage has returned, as HRNet does."""

    def __init__(self):
        super().__init__()
        self.stage = _Lists()

    def forward(self, images):
        levels = self.stage(images)
        levels[0] = levels[0] * 5
        return levels


class _Lists(nn.Module):
    def forward(self, images):
        return [images, images + 1]


def test_a_list_is_read_as_it_was_returned():
    taps = FeatureTaps(['stage'])
    with taps.record(model := _Replaced()) as recording:
        model(IMAGES)
    assert torch.equal(recording.features()[0], IMAGES) and torch.equal(recording.features()[1], IMAGES + 1)
