"""The random states of a data loader's worker processes."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmreviewkd.utils.random import RANDOM_STATE_BYTES, get_random_state, set_random_state

_START_SECONDS = 60


class WorkerStreams:
    """Records the random state of each worker before every batch, in memory shared with the main process.

    Workers run ahead of the training by the batches they prefetch, so the last few states of each are kept.
    :meth:`start` and :meth:`collate` replace the loader's ``worker_init_fn`` and ``collate_fn``.

    Args:
        num_workers (int): Number of workers, at least 1.
        prefetch (int): Number of batches that each worker prefetches.
        init (Callable, optional): The loader's own ``worker_init_fn``.
        collate (Callable): The loader's own ``collate_fn``.
    """

    def __init__(self, num_workers: int, prefetch: int, init: Callable | None, collate: Callable) -> None:
        # Of the batches requested from a worker, `prefetch` are waiting, one is in use and one is being loaded.
        self._states = torch.zeros(num_workers, prefetch + 4, RANDOM_STATE_BYTES, dtype=torch.uint8).share_memory_()
        self._started = torch.zeros(num_workers, dtype=torch.bool).share_memory_()
        self._init, self._collate = init, collate
        self._resumed: Tensor | None = None
        self._made = 0
        self._worker = 0

    def states_before(self, batches: list[int]) -> Tensor:
        """Return the state of each worker before the batch of this number, ``[num_workers, RANDOM_STATE_BYTES]``."""
        until = time.monotonic() + _START_SECONDS
        while not self._started.all() and time.monotonic() < until:  # the first batches come before the last worker
            time.sleep(0.001)
        return torch.stack([states[batch % len(states)] for states, batch in zip(self._states, batches)])

    def start_from(self, states: Tensor | None, batch: int) -> None:
        """Set the random states of the workers that start next; with ``None`` they get the loader's seeds.

        Args:
            states (Tensor, optional): The result of :meth:`states_before`.
            batch (int): The number of the batch before which they were taken.
        """
        self._resumed, self._made = states, batch
        self._started.zero_()

    def start(self, worker: int) -> None:
        """Prepare a worker process."""
        if self._init is not None:
            self._init(worker)
        if self._resumed is not None:
            set_random_state(self._resumed[worker])
        self._worker = worker
        self._record()
        self._started[worker] = True

    def collate(self, samples: Any) -> Any:
        """Collate a batch in a worker process, and record the state before the next one."""
        batch = self._collate(samples)
        self._made += 1
        self._record()
        return batch

    def _record(self) -> None:
        self._states[self._worker, self._made % self._states.shape[1]] = get_random_state()
