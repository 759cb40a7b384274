"""The frozen teacher: part of no optimizer, copy or state dict; where its model and weights come from."""

import copy
import os
import pickle

import pytest
import torch
from conftest import STAGES_BEFORE_RELU, cifar_classifier, gray_batch, review_config
from mmengine.config import ConfigDict
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import MODELS

from mmreviewkd.models import FrozenTeacher
from mmreviewkd.models.distillers import frozen_teacher
from mmreviewkd.utils import CheckpointError, ConfigError, TapError


def build(**changes):
    model = MODELS.build(review_config(**changes))
    model.init_weights()
    return model


def teacher_part(**changes):
    return dict(
        model=cifar_classifier(14, (8, 8, 16, 32)), checkpoint='init_cfg', taps=STAGES_BEFORE_RELU) | changes


@pytest.fixture
def teacher_checkpoint(tmp_path):
    torch.manual_seed(3)
    model = MODELS.build(cifar_classifier(14, (8, 8, 16, 32)))
    torch.save(dict(state_dict=model.state_dict(), meta=dict(epoch=1)), tmp_path / 'teacher.pth')
    return tmp_path / 'teacher.pth'


def test_is_frozen_and_in_nothing():
    distiller = build()
    inner = distiller.frozen_teacher.model
    own = {id(p) for p in inner.parameters()}
    assert not own & {id(p) for p in distiller.parameters()}
    assert not any('teacher' in name for name in distiller.state_dict())
    assert not any(p.requires_grad for p in inner.parameters())
    before = {name: value.clone() for name, value in inner.state_dict().items()}
    distiller.train()
    assert not any(m.training for m in inner.modules())
    losses = distiller(**distiller.data_preprocessor(gray_batch(), True), mode='loss')
    distiller.parse_losses(losses)[0].backward()
    assert all(p.grad is None for p in inner.parameters())
    for name, value in inner.state_dict().items():
        assert torch.equal(value, before[name])


def test_copies_share_it_and_ema_holds_none():
    distiller = build()
    teacher = distiller.frozen_teacher
    assert copy.deepcopy(distiller).frozen_teacher.model is teacher.model
    averaged = ExponentialMovingAverage(distiller)
    assert averaged.module.frozen_teacher.model is teacher.model
    moved = ExponentialMovingAverage(distiller, device='meta')
    assert moved.module.frozen_teacher._network._model is teacher.model and not next(teacher.model.parameters()).is_meta
    assert len(averaged.module.state_dict()) == len(distiller.state_dict())


def test_a_copy_that_is_cast_and_used_has_one_of_its_own():
    distiller = build()
    twin = copy.deepcopy(distiller).double()
    batch = twin.data_preprocessor(gray_batch(), True)
    losses = [
        model(model_inputs, batch['data_samples'], mode='loss')['loss_distill']
        for model, model_inputs in ((distiller, batch['inputs'].float()), (twin, batch['inputs'].double()))]
    assert [loss.dtype for loss in losses] == [torch.float32, torch.float64]
    torch.testing.assert_close(losses[0].double(), losses[1], rtol=1e-4, atol=0)
    assert next(distiller.frozen_teacher.model.parameters()).dtype == torch.float32


def test_moves_and_casts_with_the_distiller():
    distiller = build().double()
    assert next(distiller.frozen_teacher.model.parameters()).dtype == torch.float64
    distiller.half()
    assert next(distiller.frozen_teacher.model.parameters()).dtype == torch.float16
    distiller.to('meta')
    assert next(distiller.frozen_teacher.model.parameters()).is_meta


def test_is_loaded_to_the_device_and_dtype_of_the_student():
    distiller = MODELS.build(review_config()).double()
    distiller.init_weights()
    assert next(distiller.frozen_teacher.model.parameters()).dtype == torch.float64


def mobile(**teacher):
    return build(
        student=dict(
            model=dict(type='ImageClassifier', backbone=dict(type='MobileNetV2', widen_factor=0.35)),
            taps=['backbone.layer7']),
        teacher=dict(checkpoint='init_cfg', **teacher))


def test_attention_biases_that_a_network_gathers_in_eval_mode_move_and_cast_too():
    levit = dict(type='LeViT', arch='128s')
    distiller = mobile(
        model=dict(type='ImageClassifier', backbone=levit), taps=[dict(type='TokensToMap', tap='backbone.stages[-1]')])
    single, = distiller.frozen_teacher.levels(torch.ones(2, 3, 224, 224))
    double, = distiller.double().frozen_teacher.levels(torch.ones(2, 3, 224, 224, dtype=torch.float64))
    torch.testing.assert_close(double.float(), single, rtol=1e-3, atol=1e-4)


def test_does_not_change_the_random_state_even_if_its_network_seeds_it():
    reversible = dict(type='RevVisionTransformer', img_size=64, arch=dict(
        embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48))
    torch.manual_seed(1)
    expected = torch.rand(3)
    distiller = mobile(model=dict(type='ImageClassifier', backbone=reversible), taps=['backbone'])
    torch.manual_seed(1)
    distiller.frozen_teacher.levels(torch.ones(2, 3, 64, 64))
    assert torch.equal(torch.rand(3), expected)


def test_runs_only_what_the_taps_need():
    distiller = build(
        student=dict(model=cifar_classifier(), taps=['backbone.layer1']),
        teacher=teacher_part(taps=['backbone.layer1[-1].relu:input']))
    ran = []
    for name, module in distiller.frozen_teacher.model.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    distiller(**distiller.data_preprocessor(gray_batch(), True), mode='loss')
    assert 'backbone.layer1.0' in ran
    assert not any(name.startswith(('backbone.layer2', 'head', 'neck')) for name in ran)


def test_a_checkpoint_takes_the_place_of_its_init_cfg(teacher_checkpoint):
    model = cifar_classifier(
        14, (8, 8, 16, 32), init_cfg=dict(type='Pretrained', checkpoint='torchvision://no_such_model'))
    distiller = build(teacher=teacher_part(model=model, checkpoint=str(teacher_checkpoint)))
    alone = MODELS.build(cifar_classifier(14, (8, 8, 16, 32))).eval()
    alone.load_state_dict(torch.load(teacher_checkpoint)['state_dict'])
    image = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(distiller.frozen_teacher.levels(image)[-1].flatten(1), alone.extract_feat(image)[0])


class Evil:
    def __reduce__(self):
        return os.system, ('touch pwned',)


def test_checkpoints_that_cannot_be_used_are_named(teacher_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def message(checkpoint, **model):
        with pytest.raises(CheckpointError) as caught:
            build(teacher=teacher_part(checkpoint=checkpoint and str(checkpoint), **model))
        return str(caught.value)

    assert 'teacher.checkpoint is not given' in message(None)
    assert "there is no file 'absent.pth'" in message('absent.pth')

    truncated = tmp_path / 'truncated.pth'
    truncated.write_bytes(teacher_checkpoint.read_bytes()[:5000])
    assert 'cut short' in message(truncated) and '5000 bytes' in message(truncated)

    other = cifar_classifier(20, (8, 8, 16, 32), num_classes=7)
    found = message(teacher_checkpoint, model=other)
    assert '30 missing (backbone.layer1.2.conv1.weight' in found
    assert '2 of another shape (head.fc.weight (10, 32), not (7, 32)' in found

    torch.save(dict(state_dict=Evil()), tmp_path / 'evil.pth')
    assert 'holds more than data' in message('evil.pth') and 'system' in message('evil.pth')
    (tmp_path / 'evil.pkl').write_bytes(pickle.dumps(Evil()))
    message('evil.pkl')
    assert not (tmp_path / 'pwned').exists()

    assert 'no metafile goes with it' in ''.join(_config_error(checkpoint='metafile'))


def _config_error(**changes):
    with pytest.raises(ConfigError) as caught:
        build(teacher=teacher_part(**changes))
    return str(caught.value)


def test_models_that_cannot_be_found_are_named():
    assert "mmpretrain has no config 'resnet/resnet18_8xb32_in1.py'; did you mean 'resnet/resnet18_8xb32_in1k.py'" in \
        _config_error(model='mmpretrain::resnet/resnet18_8xb32_in1.py')
    assert 'which is not installed' in _config_error(model='nopackage::a/b.py')
    assert "no config file 'absent.py'" in _config_error(model='absent.py')
    assert "'type'" in _config_error(model=dict(depth=3)) or 'type' in _config_error(model=dict(depth=3))
    assert 'ImageClasifier is not in the' in _config_error(model=dict(type='ImageClasifier'))


def test_a_config_reference_brings_scope_and_preprocessor():
    pytest.importorskip('mmpretrain')
    teacher = FrozenTeacher('mmpretrain::resnet/resnet18_8xb32_in1k.py', 'init_cfg', ['backbone.layer1'])
    assert teacher.config._scope_ == 'mmpretrain'
    assert teacher.config.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert teacher.probe().channels == [64]


def test_accepts_configs_as_mmengine_makes_them():
    assert MODELS.build(ConfigDict(review_config())).student is not None


def test_may_run_in_half_precision_alone():
    exact, rough = build(), build(teacher=teacher_part(autocast='bfloat16'))
    image = torch.randn(2, 1, 28, 28)
    rough.frozen_teacher.model.load_state_dict(exact.frozen_teacher.model.state_dict())
    targets = rough.frozen_teacher.levels(image)
    assert targets[0].dtype == torch.bfloat16
    for ours, expected in zip(targets, exact.frozen_teacher.levels(image)):
        torch.testing.assert_close(ours.float(), expected, rtol=0.05, atol=0.05 * float(expected.abs().max()))
    losses = rough(**rough.data_preprocessor(gray_batch(), True), mode='loss')
    assert losses['loss_distill'].dtype == torch.float32
    assert "'float16' or 'bfloat16'" in _config_error(autocast='half')


def test_a_value_that_an_adapter_cannot_convert_is_named_when_the_distiller_is_built():
    with pytest.raises(TapError, match=r"teacher.taps: 'backbone.layer1' gives no tokens \[N, L, C\] for TokensToMap"):
        MODELS.build(review_config(teacher=teacher_part(taps=[dict(type='TokensToMap', tap='backbone.layer1')])))


def test_a_random_teacher_is_warned_of(monkeypatch):
    warned = []
    monkeypatch.setattr(frozen_teacher, 'print_log', lambda text, *args: warned.append(text))
    build()
    assert any("teacher.checkpoint='init_cfg', but no init_cfg in teacher.model loads weights" in w for w in warned)


@pytest.mark.parametrize(('meta', 'classes'), [
    (dict(dataset_meta=dict(classes=('cat', 'dog'))), ('cat', 'dog')), (dict(CLASSES=['cat', 'dog']), ('cat', 'dog')),
    (dict(dataset_meta=None), ()), (dict(CLASSES=[1, 2]), ()), (None, ())])
def test_knows_the_classes_that_its_checkpoint_names(meta, classes, teacher_checkpoint, tmp_path):
    checkpoint = torch.load(teacher_checkpoint)
    torch.save(dict(checkpoint, meta=meta), tmp_path / 'named.pth')
    distiller = build(teacher=teacher_part(checkpoint=str(tmp_path / 'named.pth')))
    assert distiller.frozen_teacher.classes == classes
