"""Students that rename their entries in hooks are saved, resumed and exported in their own layout."""

import pytest
import torch
from detection import same
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint, save_checkpoint
from mmengine.runner.checkpoint import get_state_dict

from mmreviewkd import distiller as plain_distiller
from mmreviewkd.apis import export_student


@pytest.fixture(params=['timm', 'transformers'])
def student(request, tmp_path):
    """The student of a distillation: a model of another library, and the name of one of its entries there."""
    library = pytest.importorskip(request.param)
    if request.param == 'timm':
        model = dict(type='TimmClassifier', model_name='resnet10t', num_classes=3)
        return dict(model=model, taps=['model.layer2', 'model.layer3']), 'conv1.0.weight'
    config = library.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type='basic', num_labels=3)
    config.save_pretrained(tmp_path / 'resnet')
    model = dict(type='HuggingFaceClassifier', model_name=str(tmp_path / 'resnet'))
    taps = [f'model.resnet.encoder.stages[{i}]' for i in (1, 2)]
    return dict(model=model, taps=taps), 'resnet.embedder.embedder.convolution.weight'


@pytest.fixture
def config(student):
    resnet = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8))
    return Config(dict(default_scope='mmpretrain', model=dict(
        type='mmreviewkd.ReviewDistiller', student=student[0],
        teacher=dict(model=resnet, checkpoint='init_cfg', taps=['backbone.layer2', 'backbone.layer3']),
        connector=dict(type='ReviewConnector', mid_channels=8))))


@pytest.fixture
def distiller(config):
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return model


def test_the_student_saves_by_its_own_names(student, distiller):
    alone = MODELS.build(student[0]['model']).state_dict()
    assert student[1] in alone
    for state in (distiller.state_dict(), get_state_dict(distiller)):
        names = list(state)
        assert [name.removeprefix('student.') for name in names if name.startswith('student.')] == list(alone)
        assert any(name.startswith('connector.') for name in names)
    assert distiller.student.state_dict().keys() == alone.keys()


def test_all_is_loaded_again(config, distiller, tmp_path):
    fresh = MODELS.build(config.model)
    fresh.load_state_dict(distiller.state_dict(), strict=True)
    assert same(fresh.state_dict(), distiller.state_dict())

    save_checkpoint(dict(state_dict=get_state_dict(distiller)), str(tmp_path / 'epoch.pth'))
    resumed = MODELS.build(config.model)
    load_checkpoint(resumed, str(tmp_path / 'epoch.pth'), strict=True)
    assert same(resumed.state_dict(), distiller.state_dict())


def test_an_averaged_copy_too(distiller):
    averaged = ExponentialMovingAverage(distiller)
    names = [name.removeprefix('module.') for name in averaged.state_dict() if name.startswith('module.')]
    assert names == list(distiller.state_dict())
    averaged.load_state_dict(averaged.state_dict(), strict=True)


def test_the_exported_student_is_mmpretrains_own(config, distiller, tmp_path):
    exported = Config.fromfile(export_student(config, distiller.state_dict(), tmp_path))
    plain = MODELS.build(exported.model)
    plain.load_state_dict(torch.load(tmp_path / 'student.pth', weights_only=True)['state_dict'], strict=True)
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(plain.eval()(image), distiller.eval()(image))


def test_a_distiller_in_plain_pytorch_too(student):
    torch.manual_seed(0)
    saved, fresh = (
        plain_distiller(*(MODELS.build(student[0]['model']) for _ in range(2)), taps=student[0]['taps'])
        for _ in range(2))
    state = saved.state_dict()
    assert f'student.{student[1]}' in state and any(name.startswith('connector.') for name in state)
    fresh.load_state_dict(state, strict=True)
    assert same(fresh.state_dict(), state)
