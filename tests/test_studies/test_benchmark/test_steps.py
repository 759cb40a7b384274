"""All steps of a pair compute the same distillation, from the same weights."""

from functools import partial

import pytest
import torch
from conftest import gray_batch, review_config
from mmengine.registry import MODELS

from mmreviewkd.studies.benchmark import steps as module
from mmreviewkd.studies.benchmark.cases import Pair

CPU = torch.device('cpu')


def batch(device):
    preprocessor = MODELS.build(dict(type='mmpretrain.ClsDataPreprocessor', mean=[72.94], std=[90.02]))
    packed = preprocessor(gray_batch(8), True)
    return packed['inputs'], packed['data_samples']


@pytest.fixture(scope='module')
def losses():
    torch.manual_seed(0)
    return {name: step() for name, step in module.steps_of_pair(Pair(review_config, batch), CPU).items()}


def test_textbook_and_ours_give_the_same_loss(losses):
    distilled = {name: loss.item() for name, loss in losses.items() if not name.startswith('floor')}
    assert len(distilled) == 8
    for name, value in distilled.items():
        assert value == pytest.approx(distilled['textbook, NCHW'], rel=1e-4), name


def test_the_floor_is_the_students_own_loss(losses):
    for memory_format in module.FORMATS:
        floor, ours = (losses[f'{what}, {memory_format}'].item() for what in ('floor', 'ours'))
        assert 0 < floor < ours
        assert floor == pytest.approx(losses['floor, NCHW'].item(), rel=1e-4)


def test_every_step_trains_a_model_of_its_own():
    found = module.steps_of_pair(Pair(review_config, batch), CPU)
    assert len({id(step.args[0]) for step in found.values()}) == len(found)
    settings = {name: (step.args[0].connector.implementation, step.args[0].connector.with_cp)
                for name, step in found.items() if name.startswith('ours')}
    assert settings.pop('ours, connector plain') == ('plain', False)
    assert settings.pop('ours, with_cp') == ('auto', True)
    assert set(settings.values()) == {('auto', False)}


def test_pyramids_give_the_same_loss_and_train_their_features(monkeypatch):
    monkeypatch.setattr(module, 'ReviewConnector', partial(module.ReviewConnector, implementation='fast'))
    found = module.steps_of_pyramid([(8, 6), (4, 3)], CPU)
    values = {name: step() for name, step in found.items()}
    for name, value in values.items():
        assert value.item() == pytest.approx(values['textbook, NCHW'].item(), rel=1e-4), name
        value.backward()
        assert all(feature.grad is not None for feature in found[name].args[2])


def test_compiled_steps_give_the_same_loss(losses, monkeypatch):
    monkeypatch.setattr(torch, 'compile', partial(torch.compile, backend='aot_eager'))
    found = module.steps_of_pair(Pair(review_config, batch), CPU, compiled=True)
    rows = {name: step for name, step in found.items() if 'compiled' in name}
    assert [*rows] == ['ours, compiled, NCHW', 'ours, compiled, channels_last']
    for step in rows.values():
        assert step.args[0].frozen_teacher.compiled and step.args[0]._compiled_review is not None
        assert step().item() == pytest.approx(losses['textbook, NCHW'].item(), rel=1e-4)
    rows = module.steps_of_pyramid([(8, 6), (4, 3)], CPU, compiled=True)
    for name in 'ours, compiled, NCHW', 'ours, compiled, channels_last':
        assert rows[name]().item() == pytest.approx(rows['textbook, NCHW']().item(), rel=1e-4)


def test_steps_are_found_by_name_or_config(monkeypatch):
    asked = []
    for kind in ('steps_of_pair', 'steps_of_pyramid'):
        monkeypatch.setattr(module, kind, lambda case, *_, kind=kind: asked.append((kind, case)) or {})
    for name in ('cifar-resnet56-20', 'fpn-512x512', 'mmreviewkd::fashion_mnist/resnet8_review-resnet14.py'):
        module.steps_of(name, CPU)
    assert [kind for kind, _ in asked] == ['steps_of_pair', 'steps_of_pyramid', 'steps_of_pair']
    assert asked[0][1] is module.PAIRS['cifar-resnet56-20'] and asked[2][1].scope == 'mmpretrain'


def test_a_step_takes_the_batch_size_and_precision_asked_for():
    steps = module.steps_of('cifar-resnet56-20', CPU, batch_size=3, precision='bf16')
    step = steps['ours, NCHW']
    model, inputs, samples = step.args
    assert inputs.shape == (3, 3, 32, 32) and len(samples) == 3
    dtypes = set()
    model.student.backbone.register_forward_hook(lambda *a: dtypes.add(a[2][0].dtype))
    assert step().dtype == torch.float32 and dtypes == {torch.bfloat16}


def test_a_pyramid_takes_the_batch_size_asked_for():
    step = module.steps_of_pyramid([(8, 12), (4, 6)], CPU, 3)['ours, NCHW']
    assert [len(feature) for feature in step.args[2]] == [3, 3]
