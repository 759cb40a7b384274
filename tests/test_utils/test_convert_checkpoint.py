"""Weights in public layouts find their layers in our models."""

import pytest
import torch
import torchvision
from cifar import NETWORKS, network, public_state, reference
from conftest import cifar_classifier
from mmengine.registry import MODELS

from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint import load_weights
from mmreviewkd.utils.convert_checkpoint import convert_state, match_layout


@pytest.mark.parametrize('name', NETWORKS)
def test_every_entry_of_a_public_checkpoint_is_matched(name):
    own, public = network(name).state_dict(), public_state(name)
    names = match_layout(own, public)
    assert list(names) == list(public)
    assert sorted(names.values()) == sorted(own)
    assert all(public[other].shape == own[mine].shape for other, mine in names.items())


@pytest.mark.parametrize(('name', 'renamed'), [
    ('wrn_40_2', 'block3.layer -> backbone.layer3, block3.layer.0.convShortcut -> backbone.layer3.0.downsample, '
                 'bn1 -> backbone.norm.0, fc -> head.fc'),
    ('vgg8', 'block0 -> backbone.layer1'),
    ('mobilenetv2', 'blocks.0.0.conv.3 -> backbone.layer1.0.conv.1.conv, ..., conv2.0 -> backbone.conv2.conv'),
    ('shufflev2', 'linear -> head.fc'),
])
def test_the_report_counts_and_shows(name, renamed):
    public = public_state(name)
    _, report = convert_state(network(name), public)
    assert report.startswith(f'{len(public)} of {len(public)} entries mapped: ')
    assert renamed in report


@pytest.mark.parametrize(('source', 'backbone', 'channels'), [
    (torchvision.models.resnet18, dict(type='ResNet', depth=18), 512),
    (torchvision.models.resnet50, dict(type='ResNet', depth=50), 2048),
    (torchvision.models.mobilenet_v2, dict(type='MobileNetV2'), 1280),
    (torchvision.models.shufflenet_v2_x1_0, dict(type='ShuffleNetV2'), 1024),
], ids=['resnet18', 'resnet50', 'mobilenet_v2', 'shufflenet_v2'])
def test_torchvision_weights_give_torchvision_logits(source, backbone, channels):
    torch.manual_seed(0)
    source = source(num_classes=10).eval()
    model = MODELS.build(dict(
        type='ImageClassifier', backbone=backbone, neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=channels))).eval()
    state, report = convert_state(model, source.state_dict())
    load_weights(model, state, 'checkpoint')
    assert report.startswith(f'{len(state)} of {len(state)} entries')
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        logits, = model.head.fc(model.extract_feat(image)[0])
        torch.testing.assert_close(logits, source(image)[0], rtol=1e-4, atol=1e-5)


def test_layers_in_another_order_are_refused():
    """mmpretrain holds the transitions of a DenseNet behind all of its blocks, torchvision between them."""
    model = MODELS.build(dict(type='ImageClassifier', backbone=dict(type='DenseNet', arch='121')))
    state, _ = convert_state(model, torchvision.models.densenet121().state_dict())
    with pytest.raises(CheckpointError, match='does not fit'):
        load_weights(model, state, 'checkpoint')


def test_counts_of_batches_may_lack():
    public = public_state('resnet20')
    old = {entry: value for entry, value in public.items() if not entry.endswith('num_batches_tracked')}
    model = network('resnet20')
    load_weights(model, convert_state(model, old)[0], 'checkpoint')
    assert torch.equal(model.head.fc.weight, public['fc.weight'].float())


def test_the_models_own_layout_is_left_alone_whatever_it_lacks():
    model = MODELS.build(cifar_classifier())
    own = dict(model.state_dict())
    own['head.other.weight'], own['head.other.bias'] = own.pop('head.fc.weight'), own.pop('head.fc.bias')
    state, report = convert_state(model, own)
    assert report == '' and list(state) == list(own)


@pytest.mark.parametrize(('of', 'into', 'message'), [
    ('resnet56', 'resnet20', 'of 128 entries, 216 unexpected (layer1.3.conv1.weight'),
    ('resnet8x4', 'resnet20', 'of another shape (backbone.conv1.weight (32, 3, 3, 3), not (16, 3, 3, 3)'),
    ('wrn_40_2', 'wrn_16_2', 'missing (backbone.layer1.0.bn1.weight'),
    ('vgg13', 'mobilenetv2', f'{len(reference("vgg13")["state_dict"])} unexpected (block0.0.weight'),
])
def test_misfits_are_counted_and_named(of, into, message):
    model = network(into)
    with pytest.raises(CheckpointError) as error:
        load_weights(model, convert_state(model, public_state(of))[0], 'teacher.checkpoint')
    assert 'does not fit ImageClassifier' in str(error.value) and message in str(error.value)


@pytest.mark.parametrize('name', NETWORKS)
def test_a_file_that_lists_entries_by_name_is_matched_as_in_the_order_of_computation_or_not_at_all(name):
    """As safetensors files list them: ``0, 1, 10, 11, 2``."""
    public = public_state(name)
    expected = match_layout(network(name).state_dict(), public)
    names = match_layout(network(name).state_dict(), {entry: public[entry] for entry in sorted(public)})
    assert names.items() <= expected.items()
    # The CIFAR ResNets have the published names of layers but for `fc`, whose shape no other layer has.
    if name.startswith('resnet'):
        assert names == expected
