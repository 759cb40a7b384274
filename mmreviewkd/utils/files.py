"""Errors of failed writes, and removal of partial files."""

import contextlib
import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import CheckpointError, ConfigError

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# Names of files that `save_atomically` is still writing, such as `.epoch_1.pth.k3j2h1ab.pth`.
_PARTIAL = re.compile(r'\..+(\.\w+)\.\w{8}\1')


def cannot_write(path: Path, error: Exception) -> Exception:
    """Return the error to raise for a file that could not be written.

    Args:
        path (Path): The file.
        error (Exception): The error that writing raised.

    Returns:
        Exception: A :class:`CheckpointError` that names the file and the free space if the disk failed, else ``error``.
    """
    folder = next(place for place in (path.absolute(), *path.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(folder).free
    # torch's own writer reports a full disk as a RuntimeError.
    by_torch = isinstance(error, RuntimeError) and ('write' in str(error) or 'inline_container' in str(error))
    # Without an error number it is no error of the file system, such as that of a download.
    by_system = isinstance(error, OSError) and error.errno is not None
    if not by_system and not by_torch:
        return error
    reason = error.strerror if by_system and error.strerror else 'the disk is full or failing'
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        reason = 'it exceeds the largest size that this process may write'
    return CheckpointError(
        f'cannot write {str(path)!r}: {reason}; {free / 2**20:.0f} MiB free there. Earlier files are as they were')


@contextlib.contextmanager
def full_disk_named(folder: str) -> Iterator[None]:
    """Context manager that names a folder and its free space if a write to a file in it finds the disk full.

    Args:
        folder (str): The folder, such as the work dir of a run.

    Raises:
        CheckpointError: If the disk is full or failing.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise cannot_write(Path(folder), error) from error


def check_writable(folder: str, where: str, remedy: str = 'choose another') -> None:
    """Check that files can be written to a folder, or that it can be created.

    Args:
        folder (str): The folder.
        where (str): The config key, for the message.
        remedy (str): What the message advises. Defaults to 'choose another'.

    Raises:
        ConfigError: If not.
    """
    try:
        existing = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b'.')
            file.flush()
    except OSError as error:
        raise ConfigError(f'{where}: cannot write to {folder!r} ({error.strerror}); {remedy}') from error


def remove_partial_files(folder: Path) -> None:
    """Delete the partial files that killed runs left in a folder."""
    for path in folder.glob('.*'):
        if _PARTIAL.fullmatch(path.name):
            path.unlink(missing_ok=True)
