"""Silencing MMEngine's informational messages."""

import logging

import pytest
from mmengine.logging import MMLogger

from mmreviewkd.utils.quiet import only_warnings_logged


@pytest.fixture
def logger():
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(level)


def test_within_the_block_warnings_are_logged_and_information_is_not(logger):
    with only_warnings_logged():
        assert not logger.isEnabledFor(logging.INFO)
        assert logger.isEnabledFor(logging.WARNING)


@pytest.mark.parametrize('level', [logging.DEBUG, logging.INFO])
def test_the_level_is_restored_after_an_error(logger, level):
    logger.setLevel(level)
    with pytest.raises(KeyError), only_warnings_logged():
        raise KeyError
    assert logger.level == level
