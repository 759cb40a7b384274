"""The features that a model gives, as the survey lists them."""

import pytest
import torch
from conftest import cifar_classifier
from torch import nn

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.feature_taps import FeatureTaps
from mmreviewkd.models.taps.probe import probe
from mmreviewkd.models.taps.survey import survey
from mmreviewkd.utils import ConfigError


@pytest.fixture
def network():
    return build_model(cifar_classifier(14), 'model')


def test_every_feature_can_be_tapped_as_it_is_listed(network):
    found = survey(network)
    assert len(found.features) > 40
    taps = [feature.config() for feature in found.features]
    seen = probe(network, FeatureTaps(list(dict.fromkeys(taps))))
    shapes = dict(zip(seen.names, seen.shapes))
    assert seen.image == found.image
    for feature in found.features:
        assert shapes[feature.config()] == (feature.channels, *feature.size)


def test_a_stage_is_listed_with_its_stride_and_the_tap_before_its_last_relu(network):
    stages = {f.module: f for f in survey(network).features}
    assert [stages[f'backbone.layer{i}'].stride for i in (1, 2, 3)] == [1, 2, 4]
    assert stages['backbone.layer3'].before_relu == 'backbone.layer3[-1].relu:input'
    assert stages['backbone.layer3.1'].tap == 'backbone.layer3[-1]'
    assert stages['neck'].kind == 'vector' and stages['neck'].size == (1, 1)
    orders = [f.order for f in survey(network).features]
    assert orders == sorted(orders)


def test_the_model_and_the_random_state_stay_as_they_are(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    survey(network.train())
    assert network.training and not any(module._forward_hooks for module in network.modules())
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class Mixed(nn.Module):
    """Tokens behind a class token, a channels-last map and a map, in a tuple beside what is no feature."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 16, 16)
        self.parts = nn.Sequential(Parts())

    def extract_feat(self, inputs):
        return self.parts(self.stem(inputs))


class Parts(nn.Module):

    def forward(self, x):
        tokens = torch.cat([x.new_zeros(len(x), 2, 5), x.flatten(2).transpose(1, 2)], 1)
        return tokens, x.permute(0, 2, 3, 1), (x, None, torch.ones(3, dtype=torch.long))


def test_tokens_and_channels_last_maps_come_with_their_adapter():
    listed = [f.config() for f in survey(Mixed()).features if f.module == 'parts.0']
    assert listed == [
        dict(type='TokensToMap', tap='parts[-1]:output[0]', num_extra_tokens=2),
        dict(type='ChannelsLastToMap', tap='parts[-1]:output[1]'), 'parts[-1]:output[2][0]']
    levels = probe(Mixed(), FeatureTaps(listed))
    assert levels.shapes == ((5, 14, 14),) * 3


@pytest.mark.parametrize('image', [(3, 96, 160), (3, 48, 128), (3, 224, 224), (3, 800, 1088)])
def test_features_of_images_that_are_not_square_are_told_apart(image):
    _, height, width = image
    features = {f.tap: f for f in survey(Mixed(), image).features}
    size = height // 16, width // 16
    assert features['stem'].size == size and features['stem'].channels == 5
    tokens, channels_last, plain = (features[f'parts[-1]:output{end}'] for end in ('[0]', '[1]', '[2][0]'))
    assert (tokens.kind, tokens.size, tokens.num_extra_tokens) == ('tokens', size, 2)
    assert (channels_last.kind, channels_last.size, channels_last.channels) == ('channels_last', size, 5)
    assert (plain.kind, plain.size) == ('map', size)


def test_the_image_can_be_given_and_its_shape_is_in_the_error(network):
    found = survey(network, (1, 48, 80))
    assert found.image == (1, 48, 80)
    assert {f.tap: f.size for f in found.features}['backbone.layer3'] == (12, 20)
    with pytest.raises(ConfigError, match=r'could not be run on a blank image of 3 x 48 x 80 .*channels'):
        survey(network, (3, 48, 80))


class Broken(nn.Module):

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(7, 7)

    def extract_feat(self, inputs):
        return self.layer(inputs)


def test_a_model_that_takes_no_image_is_named_with_its_error():
    with pytest.raises(ConfigError, match=r'Broken could not be run on a blank image.*mat1 and mat2'):
        survey(Broken())


def test_maps_in_a_dict_are_listed():
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = Stages()

        def forward(self, images):
            return self.backbone(images)

    class Stages(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(3, 4, 2, 2)

        def forward(self, images):
            return dict(fine=images, coarse=self.down(images))

    found = survey(Pyramid(), (3, 48, 48))
    assert found.image == (3, 48, 48)
    assert [(f.tap, f.size) for f in found.features if f.module == 'backbone'] == [
        ('backbone:output[0]', (48, 48)), ('backbone:output[1]', (24, 24))]


class _ChannelsLast(nn.Module):
    """The first stage of a Swin-T: a convolution of stride 4, then layers on ``[N, H, W, C]``."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 4, 4)
        self.norm = nn.LayerNorm(24)
        self.stage = nn.Sequential(nn.Linear(24, 24), nn.ReLU())

    def forward(self, images):
        return self.stage(self.norm(self.stem(images).permute(0, 2, 3, 1)))


@pytest.mark.parametrize(('height', 'width'), [(64, 64), (96, 96), (24, 48)])
def test_maps_that_may_be_of_either_layout_are_told_apart(height, width):
    """At 96 pixels, all maps are 24 x 24 of 24 channels; at 24 x 48 they are 6 x 12 of 24 channels."""
    found = {feature.tap: feature for feature in survey(_ChannelsLast(), (3, height, width)).features}
    assert {tap: feature.kind for tap, feature in found.items()} == {
        'stem': 'map', 'norm': 'channels_last', 'stage[0]': 'channels_last', 'stage[-1]': 'channels_last',
        'stage': 'channels_last'}
    assert {(feature.channels, feature.size, feature.stride) for feature in found.values()} == {
        (24, (height // 4, width // 4), 4.0)}
