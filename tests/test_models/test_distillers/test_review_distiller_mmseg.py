"""Segmentors of mmsegmentation as student and teacher, with images and maps of differing sizes."""

import copy

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope

from mmreviewkd.ops import channel_wise_divergence

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmseg.models')

BGR = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False, pad_val=9)


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmseg')


def segmentor(name, **preprocessor):
    model = Config.fromfile(ROOT / 'configs' / 'fashion_scenes' / f'{name}.py').model
    model.data_preprocessor.update(preprocessor)
    return model


def distiller_of(student, teacher, **parts):
    torch.manual_seed(0)
    return MODELS.build(ConfigDict(
        type='mmreviewkd.ReviewDistiller', student=student, teacher=dict(checkpoint='init_cfg', **teacher), **parts))


def built(student, teacher, **parts):
    model = distiller_of(student, teacher, **parts)
    model.init_weights()
    return model.train()


def raw_batch():
    """A batch as a data loader gives it: two images that are padded to 96 x 96 pixels, and their maps."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for height, width in ((90, 72), (76, 96)):
        inputs.append(torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8))
        sample = SegDataSample(metainfo=dict(img_shape=(height, width), ori_shape=(height, width)))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 11, (1, height, width), generator=generator))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def test_a_teacher_of_other_channel_order_and_padding_sees_its_own_images():
    model = distiller_of(
        dict(model=segmentor('fpn_r18'), taps=['neck']), dict(model=segmentor('fpn_r34', **BGR), taps=['neck']))
    model.frozen_teacher.optimize = False
    model.init_weights()
    alone = model.frozen_teacher.model
    mine = model.data_preprocessor(copy.deepcopy(raw_batch()), training=True)
    theirs = alone.data_preprocessor(raw_batch(), training=True)
    assert (mine['inputs'] - theirs['inputs']).abs().max() > 100
    with torch.no_grad():
        expected = alone.extract_feat(theirs['inputs'])
    for found, wanted in zip(model.frozen_teacher.levels(mine['inputs'], mine['data_samples']), expected):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', ['LogitDistillationLoss', 'ChannelWiseDivergence'])
def test_logits_are_compared_as_the_loss_says(kind):
    parts = dict(model=segmentor('fpn_r18'), logits='decode_head.conv_seg')
    model = built(
        parts, {**parts, 'model': segmentor('fpn_r34', **BGR)}, distill_loss=None,
        logit_loss=dict(type=kind, temperature=1.0, loss_weight=2.0))
    seen = []
    for network in (model.student, model.frozen_teacher.model):
        network.decode_head.conv_seg.register_forward_hook(lambda module, args, output: seen.append(output.detach()))
    data = model.data_preprocessor(raw_batch(), training=True)
    losses = model(**data, mode='loss')
    teacher, student = seen
    assert student.shape == teacher.shape == (2, 11, 24, 24)
    if kind == 'ChannelWiseDivergence':
        expected = channel_wise_divergence(student, teacher, 1.0)
    else:
        p, q = teacher.softmax(1), student.softmax(1)
        expected = (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(losses['loss_logit'].detach(), 2 * expected, rtol=1e-4, atol=1e-5)
    assert {'decode.loss_ce', 'loss_logit'} <= set(losses)
