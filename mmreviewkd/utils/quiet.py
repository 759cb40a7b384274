"""Silence MMEngine's informational log messages."""

import contextlib
import logging
from collections.abc import Iterator

from mmengine.logging import MMLogger


@contextlib.contextmanager
def only_warnings_logged() -> Iterator[None]:
    """Context manager in which MMEngine's logger logs warnings and errors only."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
