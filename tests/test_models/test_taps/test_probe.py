"""What a probe finds out about a model, and what it leaves untouched."""

import copy
import random

import numpy as np
import pytest
import torch
from conftest import cifar_classifier
from detection import mmdet_model
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmreviewkd.models.taps import FeatureTaps
from mmreviewkd.models.taps.probe import probe
from mmreviewkd.utils import ConfigError, TapError


def resnet(**changes):
    pytest.importorskip('mmpretrain')
    return MODELS.build(dict(
        type='ImageClassifier', head=dict(type='LinearClsHead', num_classes=5, in_channels=64),
        backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, **changes),
        neck=dict(type='GlobalAveragePooling')))


def test_levels_calls_and_entry_of_a_network():
    found = probe(resnet(), FeatureTaps(['backbone.layer1', 'backbone.layer2[-1].relu:input', 'neck']))
    assert found.names == ('backbone.layer1', 'backbone.layer2[-1].relu:input', 'neck')
    assert found.shapes == ((8, 56, 56), (16, 28, 28), (64, 1, 1))
    assert found.channels == [8, 16, 64]
    assert found.calls == {'backbone.layer1': 1, 'backbone.layer2[-1].relu:input': 2, 'neck': 1}
    assert (found.entry, found.image) == ('extract_feat', (3, 224, 224))
    assert found.table()[0] == 'backbone.layer1                     8 channels, 56 x 56 at 224 x 224 pixels'


def test_the_head_is_reached_by_the_whole_forward_pass():
    found = probe(resnet(), FeatureTaps(['backbone.layer4', 'head.fc']))
    assert (found.entry, found.channels) == ('tensor', [64, 5])


def test_small_gray_networks_get_small_gray_images():
    found = probe(MODELS.build(cifar_classifier()), FeatureTaps(['backbone.layer1']))
    assert found.image == (1, 64, 64)


def test_does_not_change_weights_statistics_flags_hooks_or_random_state():
    model = resnet(frozen_stages=1, norm_eval=True).train()
    model.head.eval()
    flags = {name: module.training for name, module in model.named_modules()}
    state = copy.deepcopy(model.state_dict())
    streams = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    probe(model, FeatureTaps(['backbone', 'head.fc']))
    assert {name: module.training for name, module in model.named_modules()} == flags
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), streams[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == streams[1:]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_tap_that_is_never_called_is_named():
    model = resnet()
    model.unused = nn.ReLU()
    with pytest.raises(TapError, match=r"student.taps: 'unused' is never called when the model runs by forward"):
        probe(model, FeatureTaps(['neck', 'unused'], 'student.taps'))


class _FixedSize(BaseModel):
    """Accepts images of one size only, and fails in its head."""

    def __init__(self, side, head_fails=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 4, stride=4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 2)
        self.side, self.head_fails = side, head_fails

    def forward(self, inputs, data_samples=None, mode='tensor'):
        features = self.pool(self.conv(inputs)) if self.side == inputs.shape[-1] else self.wrong_size(inputs)
        if self.head_fails:
            raise ValueError('the head wants more')
        return self.head(features.flatten(1))

    def wrong_size(self, inputs):
        raise RuntimeError(f'images must have {self.side} pixels, not {inputs.shape[-1]}')


def test_the_first_size_that_the_model_accepts_is_used():
    assert probe(_FixedSize(64), FeatureTaps(['conv'])).image == (3, 64, 64)


def test_the_error_of_the_attempt_that_got_furthest_is_shown():
    with pytest.raises(ConfigError, match=r"at 64 pixels: ValueError: the head wants more"):
        probe(_FixedSize(64, head_fails=True), FeatureTaps(['head']))
    with pytest.raises(ConfigError, match=r"at 224 pixels: RuntimeError: images must have 100 pixels, not 224"):
        probe(_FixedSize(100), FeatureTaps(['conv']))


SMALL = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


@pytest.mark.parametrize('backbone', [
    dict(type='LeViT', arch='128s'),
    dict(type='TinyViT', arch=dict(channels=[8, 16, 16, 32], num_heads=[2, 2, 2, 2], depths=[1, 1, 1, 1])),
    dict(type='EfficientFormer', arch=dict(
        layers=[1, 1, 1, 1], embed_dims=[8, 8, 16, 16], downsamples=[False, True, True, True], vit_num=1),
        reshape_last_feat=True),
    dict(type='ViTEVA02', arch=SMALL, img_size=56, patch_size=14),
    dict(type='RevVisionTransformer', arch=SMALL, img_size=64),
], ids=lambda config: config['type'])
def test_does_not_change_networks_that_modify_themselves_in_eval_mode_or_by_image_size(backbone):
    pytest.importorskip('mmpretrain')
    def seen(model):
        return [(name, module.training, sorted(vars(module)), [buffer.shape for buffer in module.buffers()])
                for name, module in model.named_modules()]

    model = MODELS.build(dict(type='ImageClassifier', backbone=backbone))
    before, stream = seen(model), torch.get_rng_state()
    probe(model, FeatureTaps(['backbone']))
    assert seen(model) == before
    assert torch.equal(torch.get_rng_state(), stream)


def test_detectors_are_run_with_the_metadata_that_their_heads_read():
    init_default_scope('mmdet')
    model = mmdet_model('detr/detr_r18_8xb2-500e_coco.py')
    model.encoder.num_layers = model.decoder.num_layers = 1
    found = probe(MODELS.build(model), FeatureTaps([dict(type='TokensToMap', tap='encoder')]))
    assert (found.entry, found.shapes) == ('tensor', ((256, 7, 7),))


def test_a_shape_of_other_inputs_is_given():
    model, taps = nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 24, 7)), FeatureTaps(['[1]'], 'student.taps')
    found = probe(model, taps, (3, 20, 24))
    assert (found.entry, found.image, found.shapes) == ('call', (3, 20, 24), ((7, 1, 1),))
    with pytest.raises(ConfigError, match=r'student.taps: Sequential could not be run .*give the image_shape that it'):
        probe(model, taps)
    assert probe(model[1:], FeatureTaps(['[0]']), (1440,)).table() == ['[0]      7 channels, 1 x 1']


class _ReturnsNothing(nn.Module):
    """Its `train()` returns None, as that of mmpretrain's LeViT."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def train(self, mode=True):
        super().train(mode)

    def eval(self):
        self.train(False)

    def forward(self, images):
        return self.conv(images)


def test_a_model_whose_train_returns_nothing_is_run():
    assert probe(_ReturnsNothing(), FeatureTaps(['conv'])).channels == [4]
