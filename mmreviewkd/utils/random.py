"""Randomness that leaves no trace."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def preserved_random_state() -> Iterator[None]:
    """Run a block with a random stream of its own, fixed by the seed, and leave the global streams as they were.

    Python's, NumPy's and torch's generators (all devices) are restored at the end, so whatever is built inside does
    not shift the weights, the augmentation or the dropout of what comes after.
    """
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed((torch.initial_seed() + 1) % 2**63)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
