"""Detectors of mmdet3d, whose inputs are dicts: one of images, one of point clouds."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmreviewkd.utils import ConfigError

pytest.importorskip('mmcv.ops')
mmdet3d = pytest.importorskip('mmdet3d')
pytest.importorskip('mmdet3d.models')
CONFIGS = Path(mmdet3d.__file__).parent / '.mim' / 'configs' / '_base_' / 'models'
BGR = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False, pad_value=9)


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet3d')


def monocular(depth, **preprocessor):
    """FCOS3D with an eighth of its channels."""
    model = Config.fromfile(CONFIGS / 'fcos3d.py').model
    channels = [8, 16, 32, 64] if depth < 50 else [32, 64, 128, 256]
    model.data_preprocessor.update(preprocessor)
    model.backbone.update(
        depth=depth, base_channels=8, stem_channels=8, frozen_stages=-1, norm_eval=False, init_cfg=None,
        norm_cfg=dict(type='BN', requires_grad=True))
    model.neck.update(in_channels=channels, out_channels=32)
    model.bbox_head.update(
        in_channels=32, feat_channels=32, cls_branch=(32,), dir_branch=(32,), attr_branch=(32,),
        reg_branch=((32,), (32,), (32,), (32,), ()), dcn_on_last_conv=False)
    return model


def of_points(width, layers, voxel=0.32):
    """PointPillars with voxels of twice the width and few channels."""
    model = Config.fromfile(CONFIGS / 'pointpillars_hv_secfpn_kitti.py').model
    size = [voxel, voxel, 4]
    grid = [round(79.36 / voxel), round(69.12 / voxel)]
    model.data_preprocessor.voxel_layer.voxel_size = size
    model.voxel_encoder.update(voxel_size=size, feat_channels=[16])
    model.middle_encoder.update(in_channels=16, output_shape=grid)
    model.backbone.update(in_channels=16, layer_nums=layers, out_channels=[width, 2 * width, 4 * width])
    model.neck.update(in_channels=[width, 2 * width, 4 * width], out_channels=[16, 16, 16])
    model.bbox_head.update(in_channels=48, feat_channels=48)
    return model


def distiller_of(student, teacher):
    torch.manual_seed(0)
    return MODELS.build(ConfigDict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=student, taps='auto'),
        teacher=dict(model=teacher, taps='auto', checkpoint='init_cfg')))


def images():
    """Two images of different size, a car in each."""
    from mmdet3d.structures import CameraInstance3DBoxes, Det3DDataSample
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for height, width in ((96, 160), (64, 128)):
        inputs.append(torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8))
        camera = [[100.0, 0, width / 2, 0], [0, 100.0, height / 2, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        sample = Det3DDataSample(metainfo=dict(
            img_shape=(height, width), cam2img=camera, box_type_3d=CameraInstance3DBoxes))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[30.0, 20.0, 90.0, 60.0]]), labels=torch.tensor([0]))
        sample.gt_instances_3d = InstanceData(
            bboxes_3d=CameraInstance3DBoxes(torch.tensor([[0.0, 1, 10, 4, 1.5, 1.6, 0.3, 0, 0]]), box_dim=9),
            labels_3d=torch.tensor([0]), attr_labels=torch.tensor([1]), centers_2d=torch.tensor([[60.0, 40.0]]),
            depths=torch.tensor([10.0]))
        samples.append(sample)
    return dict(inputs=dict(img=inputs), data_samples=samples)


def clouds():
    """Two point clouds, a car in each."""
    from mmdet3d.structures import Det3DDataSample, LiDARInstance3DBoxes
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for points in (500, 300):
        inputs.append(torch.rand(points, 4, generator=generator) * torch.tensor([60, 60, 2, 1]) - torch.tensor(
            [0, 30, 2, 0]))
        sample = Det3DDataSample(metainfo=dict(box_type_3d=LiDARInstance3DBoxes))
        sample.gt_instances_3d = InstanceData(
            bboxes_3d=LiDARInstance3DBoxes(torch.tensor([[10.0, 0, -1.8, 3.9, 1.6, 1.56, 0.3]])),
            labels_3d=torch.tensor([2]))
        samples.append(sample)
    return dict(inputs=dict(points=inputs), data_samples=samples)


PAIRS = dict(
    images=(lambda: (monocular(18), monocular(50, **BGR)), images),
    points=(lambda: (of_points(16, [1, 1, 1]), of_points(32, [3, 5, 5])), clouds))


@pytest.mark.parametrize('kind', PAIRS)
def test_a_pair_is_distilled_with_proposed_taps(kind):
    pair, batch = PAIRS[kind]
    distiller = distiller_of(*pair())
    distiller.init_weights()
    distiller.train()
    data = distiller.data_preprocessor(batch(), training=True)
    losses = distiller(**data, mode='loss')
    alone = distiller.student(**data, mode='loss')
    assert set(losses) == {*alone, 'loss_distill', 'distill_weight'}
    losses['loss_distill'].backward()
    first = next(p for name, p in distiller.student.named_parameters() if name.startswith('backbone'))
    assert first.grad.abs().max() > 0


@pytest.mark.parametrize('kind', PAIRS)
def test_the_teacher_sees_what_it_would_see_alone(kind):
    pair, batch = PAIRS[kind]
    distiller = distiller_of(*pair())
    distiller.frozen_teacher.optimize = False
    distiller.init_weights()
    teacher = distiller.frozen_teacher
    mine = distiller.data_preprocessor(copy.deepcopy(batch()), training=True)
    theirs = teacher.model.data_preprocessor(batch(), training=True)
    assert kind == 'points' or (mine['inputs']['imgs'] - theirs['inputs']['imgs']).abs().max() > 100
    with torch.no_grad(), teacher.taps.record(teacher.model, theirs['inputs']) as recording:
        teacher.model.extract_feat(theirs['inputs'])
    found = teacher.levels(mine['inputs'], mine['data_samples'])
    for level, wanted in zip(found, recording.features(), strict=True):
        torch.testing.assert_close(level, wanted, rtol=1e-4, atol=1e-4)


def test_batch_normalizations_of_a_teacher_of_point_clouds_are_folded():
    distiller = distiller_of(*PAIRS['points'][0]())
    distiller.init_weights()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in distiller.frozen_teacher.model.backbone.modules())


def test_a_teacher_of_other_voxels_is_refused():
    distiller = distiller_of(of_points(16, [1, 1, 1]), of_points(16, [1, 1, 1], voxel=0.16))
    with pytest.raises(ConfigError, match=r'different voxels.*0\.32, 0\.32, 4.*0\.16, 0\.16, 4.*same voxel_layer'):
        distiller.init_weights()
