"""The CPU that runs this process."""

import functools
import platform
from pathlib import Path


@functools.cache
def cpu_fields(*names: str) -> str:
    """Values of fields of the first core in ``/proc/cpuinfo``, such as ``'model name'``, separated by spaces.

    Args:
        *names (str): The fields, as they begin. Those that the CPU does not have are left out.

    Returns:
        str: The values in the order of the file; where none is found, the name of the architecture.
    """
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace').split('\n\n')[0].splitlines()
    except OSError:
        lines = []
    values = [value.strip() for name, _, value in (line.partition(':') for line in lines) if name.startswith(names)]
    return ' '.join(values) or platform.processor() or platform.machine()


def is_amd() -> bool:
    """Whether the CPU is one of AMD's."""
    return 'AMD' in cpu_fields('vendor_id', 'model name')
