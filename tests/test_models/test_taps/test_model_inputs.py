"""Models whose inputs are a dict. Those of mmdet3d itself: test_distillers/test_review_distiller_mmdet3d.py."""

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import nn

from mmreviewkd.models.taps.feature_taps import FeatureTaps
from mmreviewkd.models.taps.model_inputs import as_accepted, grid_size, images_in, with_images
from mmreviewkd.models.taps.probe import probe


class OfImages(BaseModel):
    """Reads its images from a dict."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def extract_feat(self, batch_inputs_dict):
        return self.backbone(batch_inputs_dict['imgs'])

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.extract_feat(inputs)


class Voxels(nn.Module):
    """Cells of 1 x 1 m, 6 m long and 4 m wide."""

    point_cloud_range = [0, -2, -1, 6, 2, 1]
    grid_shape = [6, 4, 1]


class Columns(BaseDataPreprocessor):
    """Counts the points in each cell."""

    def __init__(self):
        super().__init__()
        self.voxel_layer = Voxels()

    def voxelize(self, points, data_samples):
        counts = torch.zeros(len(points), 1, 4, 6)
        for cloud, count in zip(points, counts):
            for x, y in (cloud[:, :2] - cloud.new_tensor([0, -2])).long().tolist():
                count[0, y, x] += 1
        return counts


class OfPoints(BaseModel):
    """Accepts points of five values."""

    def __init__(self):
        super().__init__(data_preprocessor=Columns())
        self.encoder = nn.Linear(5, 2)
        self.backbone = nn.Conv2d(1, 3, 1)

    def extract_feat(self, batch_inputs_dict):
        for cloud in batch_inputs_dict['points']:
            self.encoder(cloud)
        return self.backbone(batch_inputs_dict['voxels'])

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.extract_feat(inputs)


def test_images_are_found_and_replaced_in_either_form():
    images, others = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    batch = dict(imgs=images, points=[])
    assert images_in(images) is images and images_in(batch) is images
    assert images_in(dict(points=[])) is None and images_in([images]) is None
    assert with_images(images, others) is others
    assert with_images(batch, others)['imgs'] is others and batch['imgs'] is images


def test_a_model_that_takes_images_in_a_dict_is_probed():
    model = OfImages()
    seen = probe(model, FeatureTaps(['backbone']))
    assert seen.shapes == ((4, 112, 112),) and seen.image == (3, 224, 224) and seen.strides == [2.0]
    assert grid_size(model) is None
    assert set(as_accepted(model, torch.zeros(1, 3, 8, 8))) == {'imgs'}
    given = dict(imgs=torch.zeros(1, 3, 8, 8))
    assert as_accepted(model, given) is given
    assert isinstance(as_accepted(nn.Conv2d(3, 4, 1), given['imgs']), torch.Tensor)


def test_a_model_of_point_clouds_is_probed_at_the_size_of_its_grid():
    seen = probe(OfPoints(), FeatureTaps(['backbone']))
    assert seen.shapes == ((3, 4, 6),) and seen.image == (5, 4, 6) and seen.strides == [1.0]


def test_each_blank_cloud_has_points_all_through_the_range():
    made = as_accepted(OfPoints(), torch.zeros(2, 5, 4, 6))
    assert len(made['points']) == 2 and made['voxels'].shape == (2, 1, 4, 6)
    for cloud in made['points']:
        assert cloud.shape[1] == 5 and not cloud[:, 3:].any()
        torch.testing.assert_close(cloud[:, :3].amin(0), torch.tensor([0.6, -1.6, -0.8]))
        torch.testing.assert_close(cloud[:, :3].amax(0), torch.tensor([5.4, 1.6, 0.8]))
