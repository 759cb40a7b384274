"""Features from which a student cannot learn are found by a run in training mode."""

import copy

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn

from mmreviewkd.models.taps.gradient_reach import without_gradient


def classifier(**backbone):
    pytest.importorskip('mmpretrain')
    return MODELS.build(dict(type='ImageClassifier', backbone=backbone))


def test_stages_that_are_frozen_in_training_are_named():
    model = classifier(type='ResNet', depth=18, base_channels=8, stem_channels=8, frozen_stages=2).eval()
    flags = [module.training for module in model.modules()]
    state, stream = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = without_gradient(model, 'extract_feat')
    reason = 'no trainable parameter comes before it'
    assert found['backbone.layer1'] == found['backbone.layer2.1.relu'] == reason
    assert 'backbone.layer3' not in found and 'backbone' not in found
    assert [module.training for module in model.modules()] == flags and torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_reversible_layers_are_named():
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    found = without_gradient(classifier(type='RevVisionTransformer', arch=arch, img_size=64), 'extract_feat')
    assert found['backbone.layers.0'] == found['backbone.layers.1'] == 'runs without autograd in training'
    assert 'backbone.fusion_layer' not in found and 'backbone.patch_embed' not in found


class Branches(BaseModel):
    """Sees each image three times in training, as TridentNet does, and accepts one size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, 4)
        self.norm = nn.BatchNorm2d(4)
        self.repeat = nn.Conv2d(4, 4, 1)

    def extract_feat(self, inputs):
        if inputs.shape[-2:] != (40, 24):
            raise ValueError('images must have 40 x 24 pixels')
        x = self.norm(self.stem(inputs))
        return self.repeat(torch.cat([x] * 3) if self.training else x)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.extract_feat(inputs)


def test_a_module_that_runs_on_several_branches_of_an_image_is_named():
    found = without_gradient(Branches(), 'extract_feat', (3, 40, 24))
    assert found == {'repeat': 'gives other than one map per image in training'}
    assert without_gradient(Branches(), 'extract_feat') == {}
