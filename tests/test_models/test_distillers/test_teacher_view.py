"""Images in the teacher's normalization, against what its own data preprocessor gives."""

import copy

import pytest
import torch
from conftest import review_config
from detection import CAFFE, fashion_model, fpn_distiller, raw_batch, started
from mmengine.logging import MessageHub
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed

from mmreviewkd.models.distillers.teacher_view import TeacherView, renormalize


def build(**changes):
    model = MODELS.build(review_config(**changes))
    model.init_weights()
    return model


def resnet_part(normalization, **changes):
    return dict(
        model=dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1, 2, 3), base_channels=8,
                          stem_channels=8),
            data_preprocessor=normalization),
        taps=['backbone.layer2[-1].relu:input', 'backbone.layer4']) | changes


@pytest.fixture
def detectors():
    init_default_scope('mmdet')
    return fashion_model('mask-rcnn_r18'), fashion_model('mask-rcnn_r34')


@pytest.mark.parametrize('teacher_norm', [
    dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False, pad_value=7),
    dict(mean=[127.5], std=[127.5], to_rgb=True),
    dict(to_rgb=True, pad_value=1),
])
def test_sees_images_by_its_own_normalization_padding_included(teacher_norm):
    from mmpretrain.structures import DataSample
    student_norm = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True, pad_size_divisor=32)
    distiller = build(
        student=resnet_part(student_norm),
        teacher=resnet_part(dict(pad_size_divisor=32, **teacher_norm), checkpoint='init_cfg'))
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, h, w), generator=generator, dtype=torch.uint8)
              for h, w in ((70, 90), (96, 65))]
    batch = dict(inputs=images, data_samples=[DataSample(metainfo=dict(img_shape=tuple(i.shape[1:]))) for i in images])
    seen = distiller.data_preprocessor(copy.deepcopy(batch), True)
    inside = distiller.frozen_teacher.levels(seen['inputs'], seen['data_samples'])

    alone = distiller.frozen_teacher.model
    inputs = alone.data_preprocessor(copy.deepcopy(batch))['inputs']
    block = alone.backbone.layer2[-1]
    before_relu = []
    handle = block.relu.register_forward_pre_hook(lambda m, args: before_relu.append(args[0].clone()))
    with torch.no_grad():
        whole = alone.backbone(inputs)
    handle.remove()
    for ours, expected in zip(inside, (before_relu[-1], whole[3])):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize('augment', ['Mixup', 'CutMix'])
def test_mixed_images_are_mixed_alike_for_both(augment):
    """As if the teacher's own preprocessor had mixed them, padding included."""
    from mmpretrain.structures import DataSample
    mix = dict(batch_augments=dict(augments=dict(type=augment, alpha=1.0)), to_onehot=True, num_classes=10,
               pad_size_divisor=32)
    student_norm = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True, **mix)
    teacher_norm = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], pad_value=7, **mix)
    distiller = build(
        student=resnet_part(student_norm), teacher=resnet_part(teacher_norm, checkpoint='init_cfg'))
    alone = distiller.frozen_teacher.model
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, 70, 90), generator=generator, dtype=torch.uint8) for _ in range(4)]
    views = []
    for preprocessor in (distiller.data_preprocessor, alone.data_preprocessor):
        samples = [DataSample(metainfo=dict(img_shape=(70, 90))).set_gt_label(i) for i in range(4)]
        set_random_seed(0)
        views.append(preprocessor(dict(inputs=copy.deepcopy(images), data_samples=samples), training=True))
    mine, theirs = views
    assert any(0 < sample.gt_score.max() < 1 for sample in mine['data_samples'])
    found = distiller.frozen_teacher.view(mine['inputs'], mine['data_samples'])
    torch.testing.assert_close(found, theirs['inputs'], rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        expected = alone.backbone(theirs['inputs'])[3]
    inside = distiller.frozen_teacher.levels(mine['inputs'], mine['data_samples'])[-1]
    torch.testing.assert_close(inside, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_without_a_preprocessor_of_its_own_it_sees_what_the_student_sees():
    distiller = build(data_preprocessor=dict(mean=[72.94], std=[90.02]))
    assert distiller.frozen_teacher.view is None
    assert distiller.student.data_preprocessor.mean.item() == pytest.approx(72.94)


@pytest.mark.parametrize('padding', [0.0, 7.0])
def test_a_caffe_teacher_sees_what_its_own_preprocessor_gives(detectors, padding):
    """BGR with std 1 beside RGB with std 57, padded pixels included."""
    student, teacher = detectors
    teacher.data_preprocessor.update(CAFFE, pad_value=padding)
    model = started(fpn_distiller(student, teacher))
    alone = model.frozen_teacher.model
    batch = raw_batch()
    mine = model.data_preprocessor(copy.deepcopy(batch), training=True)
    theirs = alone.data_preprocessor(copy.deepcopy(batch), training=True)
    assert mine['inputs'].shape[-2:] == (96, 128)
    with torch.no_grad():
        expected = alone.extract_feat(theirs['inputs'])
    found = model.frozen_teacher.levels(mine['inputs'], mine['data_samples'])
    for f, e in zip(found, expected):
        torch.testing.assert_close(f, e, rtol=1e-4, atol=1e-4)


def test_batch_resizing_keeps_both_views_aligned(detectors):
    student, teacher = detectors
    augment = [dict(type='BatchSyncRandomResize', random_size_range=(64, 160), size_divisor=32, interval=1)]
    student.data_preprocessor.batch_augments = augment
    teacher.data_preprocessor.update(CAFFE, batch_augments=copy.deepcopy(augment))
    model = started(fpn_distiller(student, teacher))
    alone = model.frozen_teacher.model
    MessageHub.get_current_instance().update_info('iter', 0)
    sizes = set()
    for seed in range(4):
        views = []
        for preprocessor in (model.data_preprocessor, alone.data_preprocessor):
            batch = raw_batch()
            set_random_seed(seed)
            preprocessor(copy.deepcopy(batch), training=True)  # draws the size that the next batch has
            views.append(preprocessor(batch, training=True))
        mine, theirs = views
        sizes.add(mine['inputs'].shape[-2:])
        with torch.no_grad():
            expected = alone.extract_feat(theirs['inputs'])
        found = model.frozen_teacher.levels(mine['inputs'], mine['data_samples'])
        for f, e in zip(found, expected):
            torch.testing.assert_close(f, e, rtol=1e-4, atol=1e-4)
    assert len(sizes) > 1


def test_renormalize_by_hand():
    images = torch.arange(24.0).reshape(1, 3, 2, 4)
    view = renormalize(
        images, torch.tensor([1.0, 2.0, 3.0])[:, None, None], torch.tensor([0.0, 10.0, 20.0])[:, None, None],
        flip=True, image_shapes=[(1, 3)], pad_value=-7.0)
    assert view[0, :, 0, :3].tolist() == [[16, 17, 18], [26, 28, 30], [20, 23, 26]]
    assert (view[0, :, 1] == -7).all() and (view[0, :, :, 3] == -7).all()
    assert torch.equal(images, torch.arange(24.0).reshape(1, 3, 2, 4))


def test_the_same_normalization_returns_the_images_themselves():
    settings = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    images = torch.randn(1, 3, 4, 4)
    assert TeacherView(ImgDataPreprocessor(**settings), ImgDataPreprocessor(**settings))(images) is images
    assert TeacherView(BaseDataPreprocessor(), BaseDataPreprocessor())(images) is images
    assert TeacherView(ImgDataPreprocessor(**settings), BaseDataPreprocessor())(images) is not images
