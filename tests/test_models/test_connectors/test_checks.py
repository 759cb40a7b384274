"""Checks shared by the connectors."""

import pytest

from mmreviewkd.models.connectors.checks import check_channels, check_levels, resolve_mid_channels
from mmreviewkd.utils import ConfigError


@pytest.mark.parametrize(('channels', 'message'), [
    (([1, 2], [1]), r'My: .*\[1, 2\] and \[1\]'), (([], []), 'same levels'), (([1, 0], [1, 1]), 'at least 1')])
def test_bad_channels_are_named(channels, message):
    with pytest.raises(ConfigError, match=message):
        check_channels('My', *channels)


def test_mid_channels_are_those_of_the_coarsest_level_up_to_512():
    assert resolve_mid_channels('My', [4, 8], None) == 8
    assert resolve_mid_channels('My', [4, 600], None) == 512
    assert resolve_mid_channels('My', [4, 8], 3) == 3
    with pytest.raises(ConfigError, match='My: mid_channels must be an integer of at least 1, but is 0'):
        resolve_mid_channels('My', [4], 0)


def test_inputs_have_one_entry_per_level():
    check_levels(2, [1, 2], (3, 4))
    with pytest.raises(ValueError, match='2 levels, but was given 3'):
        check_levels(2, [1, 2], [1, 2, 3])
