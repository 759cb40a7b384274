"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def save_atomically(write: Callable[[str], object], path: Path) -> None:
    """Write a file whole or not at all.

    Args:
        write (Callable[[str], object]): Writes to the path it is given.
        path (Path): Where the file ends up; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix=path.suffix)
    os.close(handle)
    try:
        write(partial)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)
