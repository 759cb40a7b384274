"""Folded batch normalizations and compiled features give the same features."""

import pytest
import torch
from conftest import cifar_classifier, gray_batch, review_config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn
from torch.nn.utils import parametrizations

from mmreviewkd.models import FeatureTaps, FrozenTeacher
from mmreviewkd.models.distillers.inference_graph import compile_features, fold_batch_norms


def trained_like(model):
    """Running statistics and affine parameters that a fold could get wrong."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_mean, module.weight.data, module.bias.data):
                value.copy_(torch.randn(value.shape, generator=generator))
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return model.eval()


def resnet(depth):
    return dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=depth, base_channels=8, stem_channels=8))


@pytest.mark.parametrize(('model', 'tap', 'folds'), [
    (cifar_classifier(), 'backbone.layer3[-1].relu:input', True),
    (cifar_classifier(), 'backbone.layer2[-1].bn1', True),
    (cifar_classifier(), 'backbone.layer2[-1].conv1', False),
    (resnet(50), 'backbone.layer4', True),
    (dict(type='ImageClassifier', backbone=dict(type='MobileNetV2', widen_factor=0.35)), 'backbone', True),
])
def test_features_stay_the_same(model, tap, folds, tmp_path):
    plain = trained_like(MODELS.build(model))
    torch.save(plain.state_dict(), tmp_path / 'weights.pth')
    teacher = FrozenTeacher(model, str(tmp_path / 'weights.pth'), [tap])
    teacher.load(plain)
    channels = 1 if model['backbone']['type'].endswith('CIFARResNet') else 3
    image = torch.randn(2, channels, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), teacher.taps.record(plain) as recording:
        plain.extract_feat(image)
    expected, = recording.features()
    torch.testing.assert_close(
        teacher.levels(image)[0], expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert bool(batch_norms(teacher.model)) != folds


def batch_norms(model):
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def test_folding_can_be_switched_off_to_measure_its_effect():
    teacher = FrozenTeacher(cifar_classifier(), 'init_cfg', ['backbone.layer3'])
    teacher.optimize = False
    plain = MODELS.build(cifar_classifier())
    teacher.load(plain)
    assert len(batch_norms(teacher.model)) == len(batch_norms(plain))


class _ByKeyword(BaseModel):
    """Calls a part by keyword."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.scale = _Scale()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.scale(features=self.conv(inputs))


class _Scale(nn.Module):
    def forward(self, features):
        return 2 * features


def test_compiled_features_are_read_from_inputs_by_keyword_too():
    model, images = _ByKeyword(), torch.randn(1, 3, 8, 8)
    features = compile_features(model, FeatureTaps(['scale:input', 'scale']), model, backend='aot_eager')
    inner, outer = features(images)
    torch.testing.assert_close(inner, model.conv(images))
    torch.testing.assert_close(outer, 2 * inner)


class _NormalizedLast(BaseModel):
    """Holds a normalization of other channels next to a convolution that it does not follow."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.layer = nn.Sequential(nn.Conv2d(4, 8, 3))
        self.norm = nn.BatchNorm2d(8)

    def forward(self, inputs):
        return self.norm(self.layer(self.stem(inputs)))


def test_a_network_that_cannot_be_folded_stays_as_it_is():
    model = _NormalizedLast().eval()
    assert fold_batch_norms(model, lambda network: [network(torch.zeros(1, 3, 8, 8))]) is model


def build(**changes):
    model = MODELS.build(review_config(**changes))
    model.init_weights()
    return model


@pytest.mark.parametrize('implementation', ['plain', 'fast', 'auto'])
def test_teacher_and_connector_may_be_compiled(implementation):
    connector = dict(type='ReviewConnector', implementation=implementation)
    torch.manual_seed(0)
    plain = build(connector=connector)
    torch.manual_seed(0)
    compiled = build(connector=connector, compile=dict(backend='aot_eager'))
    assert compiled.frozen_teacher.compiled
    # The compiler knows the modules only, which need more time and memory than the fast path.
    assert (compiled._compiled_review is not None) == (implementation == 'plain')
    for seed, size in ((0, 8), (1, 4)):
        data = plain.data_preprocessor(gray_batch(size, seed=seed), True)
        expected, ours = plain(**data, mode='loss'), compiled(**data, mode='loss')
        torch.testing.assert_close(ours['loss_distill'], expected['loss_distill'], rtol=1e-4, atol=0)
        compiled.parse_losses(ours)[0].backward()
        plain.parse_losses(expected)[0].backward()
    for ours, theirs in zip(compiled.student.parameters(), plain.student.parameters()):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4 * float(theirs.grad.abs().max()))


def test_tokens_become_maps_for_images_of_any_shape_compiled_or_not():
    backbone = dict(
        type='VisionTransformer', img_size=64, out_indices=(1,), final_norm=False,
        arch=dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48))
    mobile = dict(type='ImageClassifier', backbone=dict(type='MobileNetV2', widen_factor=0.35))
    config = dict(
        student=dict(model=mobile, taps=['backbone.layer5']),
        teacher=dict(
            model=dict(type='ImageClassifier', backbone=backbone), checkpoint='init_cfg',
            taps=[dict(type='TokensToMap', tap='backbone.layers[1]', num_extra_tokens=1)]))
    plain, compiled = build(**config), build(**config, compile=dict(backend='aot_eager'))
    featmap = MODELS.build(dict(backbone, out_type='featmap'))
    featmap.load_state_dict(plain.frozen_teacher.model.backbone.state_dict())
    featmap.eval()
    ran = []
    plain.frozen_teacher.model.backbone.layers[2].register_forward_hook(lambda *_: ran.append('layers[2]'))
    for height, width in ((64, 64), (64, 96)):
        images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
        found, = plain.frozen_teacher.levels(images)
        assert found.shape == (2, 24, 4, width // 16)
        with torch.no_grad():
            torch.testing.assert_close(found, featmap(images)[0], rtol=0, atol=0)
    torch.testing.assert_close(compiled.frozen_teacher.levels(images)[0], found, rtol=1e-4, atol=1e-5)
    assert ran == []


@pytest.mark.parametrize('normalization', [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_parametrized_convolution_is_not_folded(normalization):
    torch.manual_seed(0)
    model = nn.Sequential(normalization(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    images = torch.randn(2, 3, 8, 8)
    model(images)
    model.eval()
    folded = fold_batch_norms(model, lambda network: [network(images)])
    assert isinstance(folded[1], nn.BatchNorm2d) and isinstance(folded[3], nn.Identity)
    torch.testing.assert_close(folded(images), model(images), rtol=1e-4, atol=1e-5)
