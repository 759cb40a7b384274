"""The taps that are proposed for a pair, and a distiller that is built with them."""

import pytest
import torch
from conftest import STAGES_BEFORE_RELU, cifar_classifier, gray_batch, review_config
from mmengine.model import BaseModel
from torch import nn

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.proposal import Levels, levels_of, match_levels, propose_taps
from mmreviewkd.models.taps.survey import Feature, survey
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
    pytest.importorskip('mmpretrain')
    pytest.importorskip('mmdet')
    proposal = propose_taps(*(build_model(model_config(reference, 'model'), 'model') for reference in (
        'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py', 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')))
    assert proposal.left_out == (
        'student neck:output[4] (stride 128): the other model has no level of this stride',
        'teacher neck:output[0] (stride 4): the other model has no level of this stride')
    assert proposal.table()[-2:] == [f'left out: {text}' for text in proposal.left_out]
    levels = levels_of(survey(
        build_model(model_config('mmpretrain::resnet/resnet18_8xb32_in1k.py', 'model'), 'model')))
    assert levels.left_out == ('backbone.relu (stride 2): the stem, thin features at many pixels',)


def test_of_levels_with_the_same_rounded_stride_those_of_equal_size_are_paired():
    def levels(*sizes):
        return Levels(tuple(
            Feature(f'neck:output[{i}]', 'neck', 'neck', 9, 'map', 8, (size, size), stride, 0, 'FPN', True)
            for i, (size, stride) in enumerate(sizes)))

    images = ((3, 160, 160),) * 2
    student, teacher = levels((10, 16), (5, 32), (3, 64), (2, 64)), levels((20, 8), (10, 16), (5, 32), (3, 64))
    found = match_levels(student, teacher, images)
    assert [f.size[0] for f in found.student] == [f.size[0] for f in found.teacher] == [10, 5, 3]
    found = match_levels(levels((5, 32), (3, 64), (3, 64)), levels((5, 32), (3, 64)), images)
    assert found.student_taps[-1] == 'neck:output[2]'


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


RESNET = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8)
REVERSIBLE = dict(
    type='RevVisionTransformer', img_size=64,
    arch=dict(embed_dims=24, num_layers=5, num_heads=2, feedforward_channels=48))


def classifier(backbone, neck=True):
    pytest.importorskip('mmpretrain')
    return MODELS.build(dict(
        type='ImageClassifier', backbone=backbone, neck=dict(type='GlobalAveragePooling') if neck else None))


def test_sizes_and_strides_are_those_of_the_training_images():
    proposal = propose_taps(classifier(RESNET), classifier(RESNET), (3, 160, 96))
    assert [f.size for f in proposal.student] == [(40, 24), (20, 12), (10, 6), (5, 3), (1, 1)]
    assert [f.stride for f in proposal.student][:4] == [4, 8, 16, 32]
    assert proposal.heading == 'fine to coarse, at images of 3 x 160 x 96'
    # At 32 pixels, the stem is no longer thin, and the last stage is as small as the pooled vector.
    small = propose_taps(classifier(RESNET), classifier(RESNET), (3, 32, 32))
    assert [f.stride for f in small.student] == [2, 4, 8, 16, 32]
    assert [f.size for f in small.student] == [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]


def test_a_model_that_does_not_take_the_training_images_is_named():
    mixer = classifier(dict(type='MlpMixer', img_size=64, arch=dict(
        embed_dims=16, num_layers=5, tokens_mlp_dims=8, channels_mlp_dims=8)), neck=False)
    with pytest.raises(ConfigError, match=r"teacher\.taps='auto': ImageClassifier could not be run on .* 3 x 96 x 96"):
        propose_taps(classifier(RESNET), mixer, (3, 96, 96))
    assert propose_taps(mixer, classifier(RESNET)).images == ((3, 64, 64), (3, 64, 64))


def test_features_from_which_nothing_can_be_learned_are_left_out():
    frozen = propose_taps(classifier(dict(RESNET, frozen_stages=2)), classifier(RESNET))
    assert frozen.student_taps == [*RESNET_STAGES[2:], 'neck'] == frozen.teacher_taps
    assert 'student backbone.layer1 (stride 4): no trainable parameter comes before it' in frozen.left_out
    reversible = propose_taps(classifier(REVERSIBLE, neck=False), classifier(RESNET))
    assert not any('layers' in str(tap) for tap in reversible.student_taps)
    assert any('runs without autograd in training' in text for text in reversible.left_out)
    assert len(reversible.student) == 2 and reversible.student_taps[-1] == 'backbone'
    # A teacher is not trained, so all of its features can be compared with.
    assert len(propose_taps(classifier(RESNET), classifier(REVERSIBLE, neck=False)).student) == 5


@pytest.mark.parametrize(('model_name', 'taps'), [
    ('resnet10t', [*(f'model.layer{i}[-1].act2:input' for i in (1, 2, 3, 4)), 'model.global_pool']),
    ('mobilenetv3_small_050', [
        'model.blocks[0]', 'model.blocks[1]', 'model.blocks[3]', 'model.blocks', 'model.flatten']),
    ('vit_tiny_patch16_224', [*(tokens(f'model.blocks[{i}]', 1) for i in (2, 5, 8, -1)), 'model.head_drop']),
])
def test_networks_of_timm_have_a_pooled_vector_before_their_classifier(model_name, taps):
    pytest.importorskip('timm')
    student = MODELS.build(dict(type='mmpretrain.TimmClassifier', model_name=model_name, num_classes=3))
    assert propose_taps(student, classifier(RESNET), (3, 224, 224)).student_taps == taps


@pytest.mark.slow
def test_a_semi_supervised_detector_is_tapped_in_the_network_that_learns():
    pytest.importorskip('mmdet')
    config = model_config('mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py', 'model')
    teacher = model_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 'model')
    proposal = propose_taps(build_model(config, 'model'), build_model(teacher, 'model'), (3, 64, 96))
    assert proposal.student_taps == ['student.neck'] and proposal.teacher_taps == ['neck']


def test_networks_of_transformers(tmp_path):
    transformers = pytest.importorskip('transformers')
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type='basic')
    config.save_pretrained(tmp_path)
    student = MODELS.build(dict(type='mmpretrain.HuggingFaceClassifier', model_name=str(tmp_path)))
    proposal = propose_taps(student, classifier(RESNET), (3, 224, 224))
    assert [f.stride for f in proposal.student][:4] == [4, 8, 16, 32]
    assert proposal.student_taps[0].startswith('model.resnet.encoder.stages[0]')
    assert proposal.student[-1].size == (1, 1) and proposal.student[-1].channels == 32


def test_the_padded_image_is_no_level_of_the_teacher():
    swin = dict(type='SwinTransformer', img_size=64, window_size=2, arch=dict(
        embed_dims=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8]))
    proposal = propose_taps(classifier(RESNET), classifier(swin), (3, 64, 64))
    assert [f.stride for f in proposal.teacher] == [4, 8, 16, 32, 64]
    cifar = dict(type='mmreviewkd.CIFARResNet', depth=8, widths=(4, 4, 8, 16))
    small = propose_taps(classifier(cifar), classifier(swin), (3, 64, 64))
    for found in proposal, small:
        assert not any('adaptive_padding' in str(tap) for tap in found.teacher_taps)
        assert any('adaptive_padding (stride 1): no parameter comes before it' in text for text in found.left_out)


def test_modules_of_plain_pytorch_are_matched_up_to_the_vector_before_the_classifier():
    def network(width):
        return nn.Sequential(nn.Conv2d(3, width, 3, 4, 1), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(),
                             nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 5))

    proposal = propose_taps(network(4), network(8))
    assert [f.module for f in proposal.student] == ['1', '3', '5']
    assert [f.channels for f in proposal.teacher] == [8, 16, 16]
