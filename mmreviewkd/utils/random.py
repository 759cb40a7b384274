"""Isolate and restore the global random state."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def preserved_random_state() -> Iterator[None]:
    """Context manager that restores the global random state of Python, NumPy and torch (all devices).

    Within it torch is seeded from its initial seed, so that random numbers drawn there are reproducible and do not
    change the initial weights, data augmentation or dropout that follow.
    """
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed((torch.initial_seed() + 1) % 2**63)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
