"""Random numbers drawn in between do not change those that follow."""

import random

import numpy as np
import pytest
import torch

from mmreviewkd.utils.random import get_random_state, preserved_random_state, set_random_state


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


def seed(value=7):
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


def test_the_global_random_state_continues_as_if_nothing_had_been_drawn():
    seed()
    expected = draw(), draw()
    seed()
    first = draw()
    with preserved_random_state():
        draw()
        seed(99)
    assert (first, draw()) == expected


def test_numbers_drawn_in_the_block_are_reproducible_and_differ_from_those_outside():
    seed()
    outside = torch.rand(3)
    drawn = []
    for skipped in (0, 5):
        seed()
        torch.rand(skipped)
        with preserved_random_state():
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], outside)


def test_an_error_within_restores_the_streams_too():
    seed()
    expected = draw()
    seed()
    with pytest.raises(KeyError), preserved_random_state():
        draw()
        raise KeyError
    assert draw() == expected


def test_a_stored_state_is_restored_and_an_invalid_one_refused():
    seed()
    stored = get_random_state()
    expected = draw()
    set_random_state(stored)
    assert draw() == expected
    with pytest.raises(ValueError, match='bytes'):
        set_random_state(stored[:-1])
    position = 625 * 4 + 8 + 1 + 624 * 4  # of NumPy's generator, which would read beyond its words
    for wrong in (625, -1, 2**31 - 1):
        changed = stored.clone()
        changed[position:position + 4] = torch.from_numpy(np.array([wrong], np.int32).view(np.uint8))
        with pytest.raises(ValueError, match=f'position {wrong} in a random state of 624 words'):
            set_random_state(changed)
