"""Training in the channels-last memory format."""

from types import SimpleNamespace

import pytest
import torch
from conftest import STAGES, cifar_classifier, gray_batch, review_config, small_run
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS, MODELS

from mmreviewkd.apis import build_runner


def start(model):
    HOOKS.build(dict(type='mmreviewkd.ChannelsLastHook')).before_train(SimpleNamespace(model=model, hooks=[]))


@pytest.mark.parametrize('widths', [(16, 16, 32, 64), (4, 4, 8, 16)])
def test_student_connector_and_teacher_are_converted_and_give_the_same_gradients(widths):
    torch.manual_seed(0)
    student = dict(model=cifar_classifier(widths=widths), taps=STAGES)
    model = MODELS.build(review_config(student=student))
    model.init_weights()
    model.train()
    batch = model.data_preprocessor(gray_batch(), True)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    before, gradients = losses_and_gradients(model, batch)
    model.load_state_dict(buffers, strict=False)

    start(model)
    weights = [model.connector.blocks[0].conv2[0].weight]
    model.frozen_teacher.apply(lambda teacher: weights.append(teacher.backbone.layer2[0].conv1.weight))
    assert len(weights) == 2
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    own = model.student.backbone.layer2[0].conv1.weight
    assert own.is_contiguous(memory_format=torch.channels_last) == (widths[0] == 16)  # see the next test
    after, again = losses_and_gradients(model, batch)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-5)
    for name, value in gradients.items():
        assert (again[name] - value).norm() <= 1e-3 * value.norm() + 1e-6, name


class Start(Hook):
    """Keeps the weights that the training starts from."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.weights = {name: value.clone() for name, value in runner.model.state_dict().items()}


@pytest.mark.slow
def test_a_run_starts_from_the_weights_that_it_has_without_the_hook_and_converts_the_teacher(fashion_mnist, tmp_path):
    started = {}
    for name, hooks in (('without', []), ('with', [dict(type='mmreviewkd.ChannelsLastHook'), dict(type='EMAHook')])):
        cfg = small_run('resnet8_review-resnet14.py', fashion_mnist, **{'train_cfg.max_epochs': 1})
        start = Start()
        cfg.work_dir, cfg.experiment_name, cfg.custom_hooks = str(tmp_path / name), name, hooks
        runner = build_runner(cfg)
        runner.register_hook(start)
        runner.train()
        started[name] = start.weights
    assert all(torch.equal(value, started['with'][name]) for name, value in started['without'].items())
    weight = runner.model.frozen_teacher.model.backbone.layer2[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    averaged, = (hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook))
    formats = [[value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last)
                for value in model.parameters()] for model in (runner.model, averaged)]
    assert formats[0] == formats[1] and any(formats[0])


def losses_and_gradients(model, batch):
    model.zero_grad()
    losses = model(**batch, mode='loss')
    model.parse_losses(losses)[0].backward()
    return losses, {name: value.grad.clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize(('widths', 'capability', 'safe'), [
    ((4, 4, 8, 16), 'AVX2', False), ((8, 8, 16, 32), 'AVX2', True), ((8, 8, 16, 32), 'AVX512', False),
    ((16, 16, 32, 64), 'AVX512', True)])
def test_students_whose_gradients_would_be_wrong_are_left_alone(widths, capability, safe, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda: capability)
    model = MODELS.build(cifar_classifier(widths=widths))
    start(model)
    assert model.backbone.layer2[0].conv1.weight.is_contiguous(memory_format=torch.channels_last) == safe


def test_the_step_that_crashed_trains():
    """Weight gradients of the shortcut of the second stage, a strided 1x1 convolution of 4 channels."""
    model = MODELS.build(cifar_classifier())
    start(model)
    model(**model.data_preprocessor(gray_batch(), True), mode='loss')['loss'].backward()
    assert model.backbone.layer2[0].downsample[0].weight.grad.isfinite().all()
