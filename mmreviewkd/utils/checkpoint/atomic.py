"""Write files completely or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from mmreviewkd.utils.files import cannot_write


def _umask() -> int:
    """Return the umask of the process, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def save_atomically(write: Callable[[str], object], path: Path) -> None:
    """Write a file completely or not at all.

    Args:
        write (Callable[[str], object]): Writes to the path it is given.
        path (Path): The file; its folder is created if it does not exist.

    Raises:
        CheckpointError: If the file cannot be written, for example on a full disk; the message names the file and the
            free space. An existing file is not changed.
    """
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix=path.suffix)
        os.close(handle)
        write(partial)
        os.chmod(partial, 0o666 & ~_umask())
        with open(partial, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        raise cannot_write(path, error) from error
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)
