"""Allow only one training per work dir."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process

from .errors import ConfigError

_NAME = '.lock'


@contextlib.contextmanager
def locked_work_dir(work_dir: str) -> Iterator[None]:
    """Context manager that locks a work dir for one training.

    The main process holds a lock of the operating system, which is released when the process ends, even if it is
    killed. All processes of the run must enter the context.

    Args:
        work_dir (str): The work dir.

    Raises:
        ConfigError: On every process, if another training holds it.
    """
    refusal, handle = [None], None
    if is_main_process():
        refusal[0], handle = _acquire(Path(work_dir) / _NAME)
    broadcast_object_list(refusal)
    if refusal[0]:
        raise ConfigError(refusal[0])
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _acquire(path: Path) -> tuple[str | None, int | None]:
    try:
        import fcntl
    except ImportError:  # not available on Windows
        return None, None
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        # Unlike flock(2), not shared with the workers of a data loader, which outlive a killed run for some seconds.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(handle, 200).decode(errors='replace') or 'another process'
        os.close(handle)
        return (
            f'work_dir: {str(path.parent)!r} is in use by another training ({owner}); wait for it, or choose another '
            'with --work-dir'), None
    os.truncate(handle, 0)
    os.write(handle, f'process {os.getpid()} on {socket.gethostname()}'.encode())
    return None, handle
