"""Checks of settings and inputs, shared by the connectors."""

from collections.abc import Sequence, Sized

from mmreviewkd.utils.checks import integers, number
from mmreviewkd.utils.errors import ConfigError


def check_channels(name: str, in_channels: Sequence[int], out_channels: Sequence[int]) -> None:
    """Check that the channels of student and teacher name the same levels.

    Args:
        name (str): The connector's class, for the message.
        in_channels (Sequence[int]): Channels of the student's features.
        out_channels (Sequence[int]): Channels of the teacher's features.

    Raises:
        ConfigError: If the numbers of levels differ or are zero, or a number of channels is not a positive integer.
    """
    integers(in_channels, f'{name}: in_channels', at_least=1)
    integers(out_channels, f'{name}: out_channels', at_least=1)
    if not in_channels or len(in_channels) != len(out_channels):
        raise ConfigError(
            f'{name}: in_channels and out_channels must name the same levels, fine to coarse, but are '
            f'{list(in_channels)} and {list(out_channels)}')


def resolve_mid_channels(name: str, in_channels: Sequence[int], mid_channels: int | None) -> int:
    """The channels ``M`` of a review path: as configured, or ``min(512, in_channels[-1])``.

    Args:
        name (str): The connector's class, for the message.
        in_channels (Sequence[int]): Channels of the student's features.
        mid_channels (int, optional): ``M`` as configured.

    Returns:
        int: ``M``.

    Raises:
        ConfigError: If ``M`` is not a positive integer.
    """
    mid_channels = min(512, in_channels[-1]) if mid_channels is None else mid_channels
    return number(mid_channels, f'{name}: mid_channels', at_least=1, integer=True)


def check_levels(levels: int, *per_level: Sized) -> None:
    """Check that inputs have one entry per level.

    Args:
        levels (int): Number of levels of the connector.
        *per_level (Sized): Inputs.

    Raises:
        ValueError: If an input has another number of entries.
    """
    for entries in per_level:
        if len(entries) != levels:
            raise ValueError(f'the connector has {levels} levels, but was given {len(entries)}')
