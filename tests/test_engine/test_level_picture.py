"""A picture has a row for each level, and shows what differs."""

import numpy as np
import torch

from mmreviewkd.engine.level_picture import draw_levels
from mmreviewkd.models.distillers.level_views import LevelView


def view(seed=0, size=6, attention=True, other=None):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(1, 3, size, size, generator=generator) for _ in range(2))
    return LevelView(
        student, teacher if other is None else other, torch.tensor(0.5),
        torch.rand(1, 2, size, size, generator=generator) if attention else None)


def test_every_level_adds_a_row():
    image = np.zeros((6, 6, 3), np.uint8)
    one, three = draw_levels(image, [view()]), draw_levels(image, [view(), view(1, attention=False), view(2, size=1)])
    assert one.dtype == np.uint8 and one.shape[2] == three.shape[2] == 3 and one.shape[1] == three.shape[1]
    assert three.shape[0] > 2 * one.shape[0]


def test_the_picture_shows_features_attention_and_image():
    image = np.zeros((6, 6, 3), np.uint8)
    picture = draw_levels(image, [view()])
    assert np.array_equal(picture, draw_levels(image, [view()]))
    for different in (draw_levels(image + 255, [view()]), draw_levels(image, [view(1)]),
                      draw_levels(image, [view(attention=False)])):
        assert not np.array_equal(picture, different)


def test_features_that_no_connector_made_alike_are_drawn_too():
    assert draw_levels(np.zeros((6, 6, 3), np.uint8), [view(other=torch.randn(1, 5, 3, 3))]).any()
