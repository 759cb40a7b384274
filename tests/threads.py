"""Computing with a given number of threads."""

from collections.abc import Callable
from typing import Any

import torch


def with_threads(number: int, compute: Callable[[], Any]) -> Any:
    """What ``compute()`` returns with ``number`` threads."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(number)
        return compute()
    finally:
        torch.set_num_threads(before)
