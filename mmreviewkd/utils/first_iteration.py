"""Let models run as in the first iteration of a training, without a runner."""

import contextlib
from collections.abc import Iterator

from mmengine.logging import MessageHub


@contextlib.contextmanager
def first_iteration() -> Iterator[None]:
    """Context manager in which MMEngine's message hub says epoch 0, iteration 0, as a runner would.

    YOLOX draws the size of its images by the iteration, TOOD changes its assigner by the epoch.
    """
    info = MessageHub.get_current_instance().runtime_info
    before = dict(info)
    info.update(iter=0, epoch=0)
    try:
        yield
    finally:
        info.clear()
        info.update(before)
