"""The taps that are proposed for a pair, and a distiller that is built with them."""

import pytest
import torch
from conftest import STAGES_BEFORE_RELU, cifar_classifier, gray_batch, review_config
from mmengine.model import BaseModel
from torch import nn

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.proposal import find_levels, propose_taps
from mmreviewkd.registry import MODELS
from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.config import model_config

RESNET_STAGES = [f'backbone.layer{i}[-1].relu:input' for i in (1, 2, 3, 4)]
FPN = ['neck']


def tokens(tap, extra=0):
    return dict(type='TokensToMap', tap=tap, **({'num_extra_tokens': extra} if extra else {}))


# Student and teacher, and the taps of each.
PAIRS = {
    'stages and pooled vector': (
        'mmpretrain::resnet/resnet18_8xb32_in1k.py', 'mmpretrain::regnet/regnetx-400mf_8xb128_in1k.py',
        [*RESNET_STAGES, 'neck'], [*RESNET_STAGES, 'neck']),
    'inverted residuals, whose expansion does not count as the end of a stage': (
        'mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py', 'mmpretrain::resnet/resnet18_8xb32_in1k.py',
        ['backbone.layer2', 'backbone.layer3', 'backbone.layer5', 'backbone.conv2.activate:input', 'neck'],
        [*RESNET_STAGES, 'neck']),
    'a hierarchical transformer': (
        'mmpretrain::resnet/resnet18_8xb32_in1k.py', 'mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py',
        [*RESNET_STAGES, 'neck'],
        [tokens('backbone.stages[0]'), tokens('backbone.stages[1]'), tokens('backbone.stages[2]'),
         tokens('backbone.stages[-1]'), 'neck']),
    'a plain transformer, at evenly spaced depths': (
        'mmpretrain::resnet/resnet18_8xb32_in1k.py', 'mmpretrain::deit/deit-tiny_4xb256_in1k.py',
        [*RESNET_STAGES, 'neck'],
        [*(tokens(f'backbone.layers[{i}]', 1) for i in (2, 5, 8, -1)), 'backbone']),
    'parallel branches': (
        'mmpretrain::resnet/resnet18_8xb32_in1k.py', 'mmpretrain::hrnet/hrnet-w18_4xb32_in1k.py',
        [*RESNET_STAGES, 'neck'], ['backbone', 'neck']),
    'necks with other strides': (
        'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py', 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        [f'neck:output[{i}]' for i in range(4)], [f'neck:output[{i}]' for i in range(1, 5)]),
    'a neck that goes from coarse to fine': (
        'mmdet::yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py', 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        [f'neck:output[{i}]' for i in (2, 1, 0)], FPN),
}


@pytest.mark.parametrize('name', PAIRS)
def test_levels_of_the_same_stride_belong_together(name):
    for library in {reference.partition('::')[0] for reference in PAIRS[name][:2]}:
        pytest.importorskip(library)
    *references, student_taps, teacher_taps = PAIRS[name]
    proposal = propose_taps(*(build_model(model_config(reference, 'model'), 'model') for reference in references))
    assert proposal.student_taps == student_taps
    assert proposal.teacher_taps == teacher_taps
    if not any('layers' in str(tap) for tap in teacher_taps):
        maps = [pair for pair in zip(proposal.student, proposal.teacher) if pair[0].kind != 'vector']
        assert all(own.stride == other.stride for own, other in maps)
    assert [f.stride for f in proposal.student] == sorted(f.stride for f in proposal.student)


def test_levels_that_are_left_out_are_listed_with_the_reason():
    pytest.importorskip('mmdet')
    proposal = propose_taps(*(build_model(model_config(reference, 'model'), 'model') for reference in (
        'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py', 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')))
    assert proposal.left_out == (
        'student neck:output[4] (stride 128): the other model has no level of this stride',
        'teacher neck:output[0] (stride 4): the other model has no level of this stride')
    assert proposal.table()[-2:] == [f'left out: {text}' for text in proposal.left_out]
    levels = find_levels(build_model(model_config('mmpretrain::resnet/resnet18_8xb32_in1k.py', 'model'), 'model'))
    assert levels.left_out == ('backbone.relu (stride 2): the stem, thin features at many pixels',)


def test_a_distiller_with_proposed_taps_equals_one_with_the_same_taps_by_name():
    def losses(taps):
        torch.manual_seed(0)
        model = MODELS.build(review_config(
            student=dict(model=cifar_classifier(), taps=taps),
            teacher=dict(model=cifar_classifier(14, (8, 8, 16, 32)), checkpoint='init_cfg', taps=taps)))
        model.init_weights()
        data = model.data_preprocessor(gray_batch(), training=True)
        return model.train()(**data, mode='loss')

    proposed, named = losses('auto'), losses(STAGES_BEFORE_RELU)
    assert proposed.keys() == named.keys()
    assert all(torch.equal(proposed[name], named[name]) for name in named)


@pytest.mark.parametrize('side', ['student', 'teacher'])
def test_auto_taps_must_be_set_for_both_models(side):
    config = review_config()
    config[side]['taps'] = 'auto'
    other = 'teacher' if side == 'student' else 'student'
    with pytest.raises(ConfigError, match=f"{side}.taps='auto' matches .* but {other}.taps is .*set both to 'auto'"):
        MODELS.build(config)


class Flat(BaseModel):
    """Sees the mean colour of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.layer(inputs.mean((2, 3)))


def test_taps_of_a_model_without_levels_must_be_named():
    with pytest.raises(ConfigError, match=r"taps='auto'.*no level in common.*the student has no features"):
        propose_taps(Flat(), Flat())


def test_the_pooled_vector_of_a_network_without_named_parts_has_the_channels_of_its_last_map():
    def network(width):
        return nn.Sequential(nn.Conv2d(3, width, 3, 4, 1), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(),
                             nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 5))

    proposal = propose_taps(network(4), network(8))
    assert [f.module for f in proposal.student] == ['1', '3', '4']
    assert [f.channels for f in proposal.teacher] == [8, 16, 16]
