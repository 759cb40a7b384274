"""The CPU that runs this process."""

import functools
import platform
from pathlib import Path


@functools.cache
def cpu_name() -> str:
    """The vendor and name of the CPU."""
    return _of_first_core('vendor_id', 'model name') or platform.processor()


@functools.cache
def cpu_features() -> str:
    """The vendor, name and instruction sets of the CPU: programs compiled for it run on all CPUs with the same."""
    return _of_first_core('vendor_id', 'cpu family', 'model', 'flags') or platform.processor()


def _of_first_core(*fields: str) -> str:
    """Some lines of ``/proc/cpuinfo``, joined; empty where there is none."""
    try:
        lines = Path('/proc/cpuinfo').read_text(errors='replace').split('\n\n')[0].splitlines()
    except OSError:
        return ''
    return ' '.join(line for line in lines if line.startswith(fields))
