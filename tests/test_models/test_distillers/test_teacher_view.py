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
from mmreviewkd.utils import ConfigError


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
    pytest.importorskip('mmpretrain')
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
    pytest.importorskip('mmpretrain')
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


def test_without_a_data_preprocessor_the_teacher_sees_the_students_images():
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
        torch.testing.assert_close(f, e, rtol=1e-4, atol=1e-5 * float(e.abs().max()))


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
            torch.testing.assert_close(f, e, rtol=1e-4, atol=1e-5 * float(e.abs().max()))
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


class _SegmentationStyle(BaseDataPreprocessor):
    """Normalizes as mmsegmentation does, and names its settings as mmsegmentation does."""

    def __init__(self, mean, std, bgr_to_rgb, pad_val):
        super().__init__()
        self.mean, self.std = (torch.tensor(value).view(-1, 1, 1) for value in (mean, std))
        self._enable_normalize, self.channel_conversion, self.pad_val = True, bgr_to_rgb, pad_val

    def forward(self, images):
        images = [image[[2, 1, 0]] if self.channel_conversion else image for image in images]
        padded = torch.full((len(images), 3, 8, 8), float(self.pad_val))
        for place, image in zip(padded, images):
            place[:, :image.shape[1], :image.shape[2]] = (image - self.mean) / self.std
        return padded


def check_views_agree(student, teacher, samples):
    images = [255 * torch.rand(3, h, w, generator=torch.Generator().manual_seed(h)) for h, w in ((8, 6), (5, 8))]
    view = TeacherView(student, teacher)
    torch.testing.assert_close(view(student(images), samples), teacher(images), rtol=0, atol=1e-3)


class _Sample(dict):
    img_shape = property(lambda self: self['img_shape'])


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_reads_the_names_of_mmsegmentation(bgr_to_rgb):
    samples = [_Sample(img_shape=(8, 6)), _Sample(img_shape=(5, 8))]
    student = _SegmentationStyle([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], True, 0)
    teacher = _SegmentationStyle([103.53, 116.28, 123.675], [1.0, 1.0, 1.0], bgr_to_rgb, 9)
    check_views_agree(student, teacher, samples)


def test_mmsegmentations_own_preprocessor_agrees():
    SegDataPreProcessor = pytest.importorskip('mmseg.models').SegDataPreProcessor
    SegDataSample = pytest.importorskip('mmseg.structures').SegDataSample
    images = [torch.randint(0, 256, (3, 64, 48), generator=torch.Generator().manual_seed(i), dtype=torch.uint8)
              for i in range(2)]
    views = []
    for settings in (dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
                     dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], pad_val=7)):
        preprocessor = SegDataPreProcessor(size=(64, 64), **settings)
        samples = [SegDataSample() for _ in images]
        views.append((preprocessor, preprocessor(dict(inputs=list(images), data_samples=samples), training=True)))
    (student, mine), (teacher, theirs) = views
    found = TeacherView(student, teacher)(mine['inputs'], mine['data_samples'])
    torch.testing.assert_close(found, theirs['inputs'], rtol=0, atol=1e-3)


def test_a_preprocessor_of_unknown_settings_is_refused():
    class Unknown(BaseDataPreprocessor):
        def forward(self, data, training=False):
            return data

    known = ImgDataPreprocessor(mean=[1.0], std=[2.0])
    with pytest.raises(ConfigError, match=r'teacher.model: Unknown says in none of the known ways \(_enable_normalize'):
        TeacherView(known, Unknown())
    half_known = _SegmentationStyle([1.0], [2.0], False, 0)
    del half_known.channel_conversion
    with pytest.raises(ConfigError, match=r'student.model: .* \(.*channel_conversion, to_rgb\) whether it reverses'):
        TeacherView(half_known, known)


def test_img_shape_that_a_transform_has_left_behind_blanks_no_pixel():
    """As of torchvision's transforms, which crop an image and leave its `img_shape`."""
    ClsDataPreprocessor = pytest.importorskip('mmpretrain.models').ClsDataPreprocessor
    DataSample = pytest.importorskip('mmpretrain.structures').DataSample
    student = ClsDataPreprocessor(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    teacher = ClsDataPreprocessor(mean=[127.5] * 3, std=[127.5] * 3)
    images = [255 * torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    samples = [DataSample(metainfo=dict(img_shape=shape)) for shape in ((40, 50), (30, 60))]
    view = TeacherView(student, teacher)
    for _ in range(2):
        mine = student(dict(inputs=list(images), data_samples=samples), training=True)
        theirs = teacher(dict(inputs=list(images)), training=True)['inputs']
        torch.testing.assert_close(view(mine['inputs'], mine['data_samples']), theirs, rtol=0, atol=1e-3)
    assert view.fill


class ClipPreprocessor(BaseDataPreprocessor):
    """Like mmaction2's, which stacks and pads clips before it normalizes them."""

    def __init__(self, mean, to_rgb):
        super().__init__()
        self._enable_normalize, self.to_rgb, self.format_shape = True, to_rgb, 'NCHW'
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), False)
        self.register_buffer('std', torch.full((3, 1, 1), 50.0), False)

    def forward(self, data, training=False):
        images = data.flip(-3) if self.to_rgb else data
        return (images - self.mean) / self.std


def test_clips_of_frames_are_converted_frame_by_frame():
    student, teacher = ClipPreprocessor([100.0, 110.0, 120.0], False), ClipPreprocessor([90.0, 80.0, 70.0], True)
    clips = 255 * torch.rand(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    view = TeacherView(student, teacher)
    assert not view.fill
    torch.testing.assert_close(view(student(clips)), teacher(clips))


def test_padding_inside_a_preprocessor_of_several_branches_is_found():
    pytest.importorskip('mmdet')
    from mmdet.structures import DetDataSample
    inner = dict(type='mmdet.DetDataPreprocessor', mean=[120.0, 110.0, 100.0], std=[58.0, 57.0, 56.0],
                 bgr_to_rgb=True, pad_size_divisor=32)
    student = MODELS.build(dict(type='mmdet.MultiBranchDataPreprocessor', data_preprocessor=inner))
    teacher = MODELS.build(dict(type='mmdet.DetDataPreprocessor', **CAFFE, pad_size_divisor=32, pad_value=114))
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, h, w), generator=generator, dtype=torch.uint8) for h, w in ((50, 90), (60, 70))]

    def samples():
        return [DetDataSample(metainfo=dict(img_shape=tuple(image.shape[1:]))) for image in images]

    batch = student(dict(inputs=dict(student=[*images]), data_samples=dict(student=samples())), True)
    found = TeacherView(student, teacher)(batch['inputs']['student'], batch['data_samples']['student'])
    expected = teacher(dict(inputs=[*images], data_samples=samples()), True)['inputs']
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
