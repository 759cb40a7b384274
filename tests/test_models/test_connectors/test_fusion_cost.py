"""What the cost model chooses where one way is known to be the best."""

import pytest
import torch

from mmreviewkd.models.connectors.fusion_cost import (
    cheapest_convolution,
    fast_pays,
    images_per_chunk,
    statistics_from_covariance,
)

CPU = torch.device('cpu')


@pytest.mark.parametrize(('shape', 'way'), [
    ((8, (56, 56), 64, 512, 64, (28, 28)), 'composed'),  # ResNet-34 to ResNet-18, finest
    ((64, (32, 32), 64, 256, 64, (16, 16)), 'composed'),  # CIFAR ResNet-32x4 to 8x4, finest
    ((64, (32, 32), 64, 256, 64, None), 'direct'),
    ((8, (14, 14), 256, 512, 256, (7, 7)), 'winograd'),  # too few pixels to compose kernels for
    ((64, (32, 32), 16, 64, 16, (16, 16)), 'direct'),  # CIFAR ResNet-56 to 20, finest
    ((1, (128, 128), 256, 256, 256, (64, 64)), 'winograd'),  # a pyramid's finest
    ((8, (7, 7), 512, 512, 512, (1, 1)), 'direct'),
])
def test_the_cheapest_convolution(shape, way):
    assert cheapest_convolution(CPU, torch.float32, *shape) == way


@pytest.mark.parametrize(('device', 'dtype'), [('cuda', torch.float32), ('cpu', torch.bfloat16)])
def test_the_definition_is_left_only_where_its_cost_is_known(device, dtype):
    assert cheapest_convolution(torch.device(device), dtype, 1, (128, 128), 256, 256, 256, (64, 64)) == 'direct'


def test_statistics_come_from_the_side_with_fewer_channels():
    assert statistics_from_covariance(65536, mid_channels=256, in_channels=64)
    assert not statistics_from_covariance(1568, mid_channels=256, in_channels=1024)
    assert not statistics_from_covariance(16, mid_channels=256, in_channels=64)


def test_chunks_hold_at_least_an_image_and_at_most_the_batch():
    assert images_per_chunk(4, 2**30, CPU) == 1
    assert images_per_chunk(4, 1, CPU) == 4
    assert images_per_chunk(64, 2**30, torch.device('cuda')) == 64


def test_small_or_narrow_maps_are_not_worth_it():
    assert fast_pays(64 * 32 * 32, 64)
    assert not fast_pays(64, 256)
    assert not fast_pays(128 * 28 * 28, 16)
