"""Isolate, store and restore the state of the global random generators."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

_PYTHON_WORDS, _NUMPY_WORDS, _TORCH_BYTES = 625, 624, torch.get_rng_state().numel()
# A flat layout of fixed size, so that the workers of a data loader can write it to shared memory.
_LAYOUT = np.dtype([
    ('python', np.uint32, _PYTHON_WORDS), ('python_gauss', np.float64), ('python_has_gauss', np.bool_),
    ('numpy', np.uint32, _NUMPY_WORDS), ('numpy_position', np.int32), ('numpy_has_gauss', np.int32),
    ('numpy_gauss', np.float64), ('torch', np.uint8, _TORCH_BYTES)])
RANDOM_STATE_BYTES = _LAYOUT.itemsize


def get_random_state() -> Tensor:
    """Return the state of Python's, NumPy's and torch's CPU generators.

    Returns:
        Tensor: ``[RANDOM_STATE_BYTES]`` uint8.
    """
    state = np.zeros((), _LAYOUT)
    _, words, gauss = random.getstate()
    state['python'], state['python_gauss'], state['python_has_gauss'] = words, gauss or 0.0, gauss is not None
    _, state['numpy'], state['numpy_position'], state['numpy_has_gauss'], state['numpy_gauss'] = np.random.get_state()
    state['torch'] = torch.get_rng_state().numpy()
    return torch.frombuffer(bytearray(state.tobytes()), dtype=torch.uint8)


def set_random_state(stored: Tensor) -> None:
    """Restore a state returned by :func:`get_random_state`.

    Args:
        stored (Tensor): ``[RANDOM_STATE_BYTES]`` uint8, on any device.

    Raises:
        ValueError: If the size differs, as it does for another version of torch or NumPy, or the state is invalid.
    """
    if stored.numel() != RANDOM_STATE_BYTES:
        raise ValueError(f'a random state of {stored.numel()} bytes, not {RANDOM_STATE_BYTES}')
    state = np.frombuffer(stored.cpu().contiguous().numpy().tobytes(), _LAYOUT)[0]
    if not 0 <= state['numpy_position'] <= _NUMPY_WORDS:  # which NumPy takes as it is, and reads there
        raise ValueError(f'position {state["numpy_position"]} in a random state of {_NUMPY_WORDS} words')
    gauss = float(state['python_gauss']) if state['python_has_gauss'] else None
    random.setstate((3, tuple(map(int, state['python'])), gauss))
    np.random.set_state((
        'MT19937', state['numpy'], int(state['numpy_position']), int(state['numpy_has_gauss']),
        float(state['numpy_gauss'])))
    torch.set_rng_state(torch.from_numpy(state['torch'].copy()))


def is_random_state(stored: Tensor) -> bool:
    """Return whether :func:`set_random_state` accepts a state; the generators stay as they are."""
    before = get_random_state()
    try:
        set_random_state(stored)
    except (RuntimeError, TypeError, ValueError):
        return False
    finally:
        set_random_state(before)
    return True


@contextlib.contextmanager
def preserved_random_state() -> Iterator[None]:
    """Context manager that restores the global random state of Python, NumPy and torch (all devices).

    Within the block torch is seeded from its initial seed. Random numbers drawn there are therefore reproducible, and
    do not change the initial weights, data augmentation or dropout that follow.
    """
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed((torch.initial_seed() + 1) % 2**63)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
