"""Errors of PyTorch's own layers on batches of unsuitable size."""

import pytest
import torch
from torch import nn

from mmreviewkd.models.distillers.batch_errors import batch_errors_named
from mmreviewkd.utils import ConfigError


def test_one_image_that_cannot_be_normalized_names_drop_last():
    images = torch.zeros(1, 3, 1, 1)
    message = r'train_dataloader\.drop_last=True.*\(Expected more than 1 value'
    with pytest.raises(ConfigError, match=message) as error, batch_errors_named(images, 'student'):
        nn.BatchNorm2d(3)(images)
    assert isinstance(error.value.__cause__, ValueError)


@pytest.mark.parametrize('layer', [nn.MaxPool2d(8), nn.Conv2d(3, 1, 8)])
def test_small_images_are_named_by_height_and_width(layer):
    images = torch.zeros(1, 3, 4, 6)
    message = 'images of 4 x 6 pixels make a level smaller than 1 pixel'
    with pytest.raises(ConfigError, match=message), batch_errors_named(images, 'student'):
        layer(images)


def test_a_layer_that_normalizes_images_one_by_one_blames_their_size():
    images = torch.zeros(2, 3, 1, 1)
    with pytest.raises(ConfigError, match='images of 1 x 1 pixels'), batch_errors_named(images, 'student'):
        nn.BatchNorm2d(3)(images[:1])


@pytest.mark.parametrize('error', [RuntimeError('out of memory'), ValueError(), KeyError('too small')])
def test_other_errors_pass_unchanged(error):
    with pytest.raises(type(error)) as raised, batch_errors_named(torch.zeros(1, 3, 4, 4), 'student'):
        raise error
    assert raised.value is error


def test_images_of_other_channels_name_the_model():
    images = torch.zeros(2, 1, 8, 8)
    message = 'the teacher takes images of 3 channels, but the training data have 1; set'
    with pytest.raises(ConfigError, match=message), batch_errors_named(images, 'teacher'):
        nn.Conv2d(3, 4, 3)(images)


def test_a_layer_inside_that_takes_other_channels_is_not_blamed_on_the_images():
    images = torch.zeros(2, 1, 8, 8)
    with pytest.raises(RuntimeError, match='to have 3 channels'), batch_errors_named(images, 'teacher'):
        nn.Conv2d(3, 4, 3)(torch.zeros(2, 16, 8, 8))


def test_a_label_beyond_the_classes_names_num_classes():
    message = "label 9, which is not among the classes of the student; set num_classes of the student's head"
    with pytest.raises(ConfigError, match=message), batch_errors_named(torch.zeros(2, 1, 8, 8), 'student'):
        nn.functional.cross_entropy(torch.zeros(2, 5), torch.tensor([0, 9]))


def test_a_part_that_normalizes_one_vector_is_not_blamed_on_the_images():
    with pytest.raises(ValueError, match='Expected more than 1 value'), \
            batch_errors_named(torch.zeros(2, 3, 64, 64), 'student'):
        nn.BatchNorm1d(4)(torch.zeros(1, 4))
