"""A training step on a CUDA device without a GPU: no mixed devices, no waiting of the host, gradients everywhere."""

import sys
from collections.abc import Mapping

import pytest
import torch
from conftest import ROOT, others_exhaustive
from count_on_fake_cuda import count
from fake_cuda import CUDA, fake_cuda, gradients
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from torch import nn

from mmreviewkd.apis import read_config
from mmreviewkd.models.build import build_model
from mmreviewkd.models.connectors import PairwiseConnector, ReviewConnector, SameLevelConnector
from mmreviewkd.models.connectors.measured_choice import KEY, MeasuredChoice
from mmreviewkd.models.distillers.teacher_view import TeacherView
from mmreviewkd.models.losses import (
    AttentionTransferLoss,
    ChannelWiseDivergence,
    DecoupledLogitLoss,
    FeatureL2Loss,
    HierarchicalContextLoss,
    LogitDistillationLoss,
    PearsonCorrelationLoss,
)
from mmreviewkd.models.taps import FeatureTaps
from mmreviewkd.utils.config import without_pretrained

CHANNELS, TARGETS = [32, 64], [16, 32]
SHAPES, SIZES = [(24, 16), (1, 1)], [(48, 32), (1, 1)]


@pytest.fixture
def cuda(monkeypatch):
    """Fake tensors take no time; let the first way, the modules, be the slowest, and the last, chunks, the fastest."""
    times = iter(range(10**6, 0, -1))
    monkeypatch.setattr(sys.modules['mmreviewkd.ops.review_level.plan'], 'DEVICE_CHUNK_BYTES', 2**20)
    monkeypatch.setattr(
        'mmreviewkd.models.connectors.measured_choice.seconds', lambda run, device: next(times))
    with fake_cuda() as mode:
        yield mode


def levels(channels, sizes, **options):
    return [torch.randn(16, c, *size, device=CUDA, **options) for c, size in zip(channels, sizes)]


def assert_gradients_on_cuda(loss, tensors):
    assert loss.device == CUDA and loss.dtype == torch.float32
    for tensor, grad in zip(tensors, gradients([loss], tensors)):
        assert (grad.device, grad.shape, grad.dtype) == (CUDA, tensor.shape, tensor.dtype)


CONNECTORS = {
    **{f'review, {way}': (ReviewConnector, dict(implementation=way)) for way in ('auto', 'plain', 'fast')},
    'review, fast, with_cp': (ReviewConnector, dict(implementation='fast', with_cp=True)),
    'review, fast, in chunks': (ReviewConnector, dict(implementation='fast', prefer='memory')),
    'review, addition': (ReviewConnector, dict(fusion='add')),
    'pairwise': (PairwiseConnector, {}),
    'same level': (SameLevelConnector, {}),
}


@pytest.mark.parametrize(('precision', 'memory_format'), [
    (None, torch.contiguous_format), (torch.float16, torch.channels_last)], ids=['float32', 'float16'])
@pytest.mark.parametrize('name', CONNECTORS)
def test_connector(name, memory_format, precision, cuda):
    kind, settings = CONNECTORS[name]
    connector = kind(CHANNELS, TARGETS, **settings).to(CUDA, memory_format=memory_format)
    features = [f.to(memory_format=memory_format).requires_grad_() for f in levels(CHANNELS, SHAPES)]
    with torch.autocast('cuda', precision or torch.float16, enabled=precision is not None):
        outputs = connector(features, SIZES)
        targets = connector.targets(levels(TARGETS, SIZES))
        loss = HierarchicalContextLoss()(outputs, targets)
    if 'fast' in name:
        assert all('FusedLevel' in type(output.grad_fn.next_functions[0][0]).__name__ for output in outputs)
        assert {output.dtype for output in outputs} == {precision or torch.float32}
    if 'auto' in name:
        timed = MessageHub.get_current_instance().get_info(KEY).values()
        assert any({'plain', 'direct', 'direct in chunks'} <= set(times) for times in timed)
    assert_gradients_on_cuda(loss, [*features, *connector.parameters()])
    assert all(buffer.device == CUDA for buffer in connector.buffers())


@pytest.mark.parametrize('loss', [
    HierarchicalContextLoss, FeatureL2Loss, AttentionTransferLoss, ChannelWiseDivergence, PearsonCorrelationLoss])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_loss(loss, dtype, cuda):
    sizes = [(24, 16), (13, 7)]
    students = [s.requires_grad_() for s in levels(TARGETS, sizes, dtype=dtype)]
    teachers = levels(TARGETS, sizes, dtype=dtype)
    assert_gradients_on_cuda(loss()(students, teachers), students)


@pytest.mark.parametrize('loss', [LogitDistillationLoss, DecoupledLogitLoss])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_loss_of_logits(loss, dtype, cuda):
    student = torch.randn(16, 10, device=CUDA, dtype=dtype, requires_grad=True)
    teacher = torch.randn(16, 10, device=CUDA, dtype=dtype)
    targets = [torch.randint(0, 10, (16,), device=CUDA)] if loss is DecoupledLogitLoss else []
    assert_gradients_on_cuda(loss()(student, teacher, *targets), [student])


@pytest.mark.parametrize(('adapter', 'shape'), [
    (dict(type='TokensToMap', num_extra_tokens=1), (2, 1 + 8 * 6, 5)), (dict(type='ChannelsLastToMap'), (2, 8, 6, 5))])
def test_adapter(adapter, shape, cuda):
    model = nn.Sequential(nn.Identity()).to(CUDA)
    tokens = torch.randn(*shape, device=CUDA, requires_grad=True)
    with FeatureTaps([dict(adapter, tap='0')]).record(model, torch.randn(2, 3, 64, 48, device=CUDA)) as recording:
        model(tokens)
    feature, = recording.features()
    assert feature.shape == (2, 5, 8, 6)
    assert_gradients_on_cuda(feature.mean(), [tokens])


class Preprocessor(nn.Module):
    """The attributes of a data preprocessor that tell how images are normalized."""

    def __init__(self, mean, std, flips=False, pad_value=0.0):
        super().__init__()
        self.mean, self.std = (torch.tensor(value).view(-1, 1, 1) for value in (mean, std))
        self._enable_normalize, self._channel_conversion, self.pad_value = True, flips, pad_value


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('flips', [False, True])
def test_view_of_the_teacher(flips, dtype):
    view = TeacherView(
        Preprocessor([123.7, 116.3, 103.5], [58.4, 57.1, 57.4]), Preprocessor([103.5, 116.3, 123.7], [1.0, 1.0, 1.0],
                                                                             flips, 5.0))
    with fake_cuda() as mode:
        view.scale, view.shift = map(mode.from_tensor, (view.scale, view.shift))
        images = torch.randn(2, 3, 32, 48, device=CUDA, dtype=dtype)
        seen = view(images, [Sample((32, 40)), Sample((24, 48))])
    assert (seen.device, seen.dtype, seen.shape) == (CUDA, dtype, images.shape)


class Sample(dict):
    """A data sample of an image that was padded."""

    def __init__(self, img_shape):
        super().__init__(img_shape=img_shape)
        self.img_shape = img_shape


# Distillers of every folder of configs, with the kinds of layers, taps and connectors that they have.
CONFIGS = {
    'cifar100/resnet8x4_review-resnet32x4': 32, 'imagenet/mobilenet-v1_review-resnet50': 224,
    'beyond/mobilenet-v2_review-deit-s': 224, 'coco/retinanet_r50_review-r101': 128,
    'fashion_mnist/resnet8_review-resnet14': 28, 'fashion_mnist/resnet8_kd-resnet14': 28,
    'fashion_mnist/resnet8_l2-resnet14': 28, 'fashion_scenes/mask-rcnn_r18_review-r34': 96,
}


@pytest.mark.parametrize(('name', 'side'), others_exhaustive(CONFIGS.items(), [
    item for item in CONFIGS.items() if not item[0].startswith(('imagenet', 'coco'))]))
def test_distiller_of_a_config(name, side, monkeypatch, probes_of_32_pixels):
    for library in ('mmdet', 'mmcv.ops') if name.startswith(('coco', 'fashion_scenes')) else ('mmpretrain',):
        pytest.importorskip(library)
    if side >= 96:
        monkeypatch.setattr('mmreviewkd.models.taps.probe.SIDES', (224,))
    config = read_config(str(ROOT / 'configs' / f'{name}.py'))
    init_default_scope(config.default_scope)
    model_config = without_pretrained(config.model)
    model_config.setdefault('data_preprocessor', config.get('data_preprocessor'))
    with fake_cuda():
        distiller = build_model(model_config, 'model')
        teacher = distiller.frozen_teacher
        # These look at values, which fake tensors do not have, once before the first step; the view has its own test.
        teacher.optimize = False
        for name in ('check_finite', 'TeacherView'):
            monkeypatch.setattr(f'mmreviewkd.models.distillers.frozen_teacher.{name}', lambda *_: None)
        monkeypatch.setattr(
            teacher, '_build_with_weights', lambda: build_model(without_pretrained(teacher.config), 'teacher.model'))
        teacher.load(distiller.student)
        distiller.train().to('cuda')
        if isinstance(distiller.connector, ReviewConnector):
            distiller.connector.measured_choice = MeasuredChoice(devices=set())
        first = next(module for module in distiller.student.modules() if isinstance(module, nn.Conv2d))
        images = torch.randn(2, first.in_channels, side, side, device=CUDA)
        losses = step(distiller, images)
        assert losses.keys() & {'loss_distill', 'loss_logit'}
        total = sum(value for key, value in losses.items() if 'loss' in key)
        parameters = [p for p in distiller.parameters() if p.requires_grad]
        # Outside the features, the student's own losses are another library's.
        reached = gradients([total], parameters, allow_unused=True)
        ours = {id(p) for part in (distiller.connector, distiller.distill_loss) if part for p in part.parameters()}
        for parameter, grad in zip(parameters, reached):
            assert grad is None or (grad.device, grad.shape) == (CUDA, parameter.shape)
            assert grad is not None or id(parameter) not in ours
        assert sum(grad is not None for grad in reached) > 10
    assert all(p.device == CUDA for p in teacher.model.parameters())


def step(distiller, images):
    """The distiller's losses, with the mean of the student's outputs for its own loss."""
    student = distiller.student

    def own(inputs, data_samples=None, mode='loss'):
        outputs = student.extract_feat(inputs)
        if distiller.logit_loss is not None:
            outputs = student.head.forward(outputs)
        return dict(loss=sum(output.mean() for output in _tensors(outputs)))

    student.forward = own
    return distiller(images, None, mode='loss')


def _tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    values = value.values() if isinstance(value, Mapping) else value
    return [tensor for item in values for tensor in _tensors(item)]


def test_a_step_in_bfloat16_takes_less_memory_and_traffic_than_the_textbook():
    pytest.importorskip('mmpretrain')
    floor, textbook, ours, memory, again = (
        count('cifar-resnet32x4-8x4', 16, kind)
        for kind in ('floor', 'textbook', 'ours', "ours, prefer='memory'", 'ours'))
    assert floor.peak < memory.peak <= ours.peak < 0.6 * textbook.peak
    assert floor.moved < ours.moved <= memory.moved < 0.75 * textbook.moved
    assert floor.operations < ours.operations
    assert ours == again  # the counts are exact
