"""The teacher's normalizations are folded where nothing that is asked for changes."""

import pytest
import torch
from conftest import cifar_classifier
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn

from mmreviewkd.models import FrozenTeacher
from mmreviewkd.models.distillers.inference_graph import fold_batch_norms


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
    left = [m for m in teacher.model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert bool(left) != folds


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
