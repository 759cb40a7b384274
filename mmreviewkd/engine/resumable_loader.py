"""A data loader that resumes in the middle of an epoch."""

import itertools
from collections.abc import Iterator
from typing import Any

from torch import Generator, Tensor
from torch.utils.data import DataLoader

from .worker_streams import WorkerStreams


class ResumableDataLoader(DataLoader):
    """A data loader that can restore its position in the epoch and the random states of its workers.

    Batches that were already trained with are skipped by their indices, without reading their images. Batch ``i`` of an
    epoch is loaded by worker ``i % num_workers``, also after resuming: up to ``num_workers - 1`` batches are loaded
    again and discarded, so that every worker resumes with its own batch. When a hook restarts persistent workers, the
    new ones continue the random numbers of the old.
    """

    @classmethod
    def adopt(cls, loader: DataLoader, resuming: bool) -> 'ResumableDataLoader':
        """Turn a data loader into a resumable one.

        Args:
            loader (DataLoader): A data loader built by MMEngine.
            resuming (bool): Whether :meth:`resume` will be called; workers then start after that call.

        Returns:
            ResumableDataLoader: ``loader`` itself.
        """
        loader.__class__ = cls  # a copy would have to repeat the arguments of every version of torch
        loader.position = 0
        loader._made = [0] * loader.num_workers  # by each worker, before this epoch
        loader._ended = None
        loader._resuming = resuming
        loader._prepared = loader._remaining = None
        loader._placeholders = 0
        loader._streams = None
        if loader.num_workers:
            loader._streams = WorkerStreams(
                loader.num_workers, loader.prefetch_factor or 2, loader.worker_init_fn, loader.collate_fn)
            loader.worker_init_fn, loader.collate_fn = loader._streams.start, loader._streams.collate
        return loader

    def worker_states(self) -> Tensor | None:
        """Return the workers' random states before the next batches, ``[num_workers, RANDOM_STATE_BYTES]``."""
        if self._ended is not None:
            return self._ended
        if self._streams is None or (self.position == 0 and self._iterator is None):
            return None
        return self._streams.states_before([made + self.position // self.num_workers for made in self._made])

    def resume(self, position: int, worker_states: Tensor | None, placeholders: int = 0) -> None:
        """Make the next iteration over this loader yield the rest of an epoch.

        Args:
            position (int): Number of batches of the epoch that were trained with.
            worker_states (Tensor, optional): The result of :meth:`worker_states` at that position.
            placeholders (int): Number of ``None`` values to yield first, for ``IterBasedTrainLoop``, which discards as
                many batches as were trained with. Defaults to 0.
        """
        lanes = max(self.num_workers, 1)
        discarded = position % lanes
        remaining = self._remaining = _Remaining(self.batch_sampler, position - discarded)
        if self._streams is not None:
            self._streams.start_from(worker_states, position // lanes)
        self._prepared = super().__iter__()
        self._remaining, remaining.skip = None, 0  # persistent workers keep it for the epochs to come
        for _ in range(discarded):
            next(self._prepared)
        self.position, self._placeholders = position, placeholders

    def continue_workers(self, worker_states: Tensor) -> None:
        """Let persistent workers continue from the end of an epoch when the next one starts.

        They start no earlier, because hooks give the sampler the number of the epoch at its start.

        Args:
            worker_states (Tensor): The result of :meth:`worker_states` at the end of the epoch.
        """
        self._ended = worker_states

    @property
    def _index_sampler(self) -> Any:
        return super()._index_sampler if self._remaining is None else self._remaining

    def __iter__(self) -> Iterator[Any]:
        return self._batches(None if self._resuming else self._start())

    def _start(self) -> Iterator[Any]:
        self.position = 0
        ended, self._ended = self._ended, None
        if self._iterator is None and any(self._made):  # a hook has restarted the workers, as to switch the pipeline
            ended = self._streams.states_before(self._made)
            self._made = [0] * self.num_workers
        if ended is None:
            if self._streams is not None and self._iterator is None:
                self._streams.start_from(None, 0)
            return super().__iter__()
        generator, self.generator = self.generator, Generator()  # persistent workers draw no seed at a later epoch
        self.resume(0, ended)
        self.generator = generator
        iterator, self._prepared = self._prepared, None
        return iterator

    def _batches(self, iterator: Iterator[Any] | None) -> Iterator[Any]:
        if iterator is None:
            self._resuming = False
            iterator, self._prepared = self._prepared or self._start(), None
        for _ in range(self._placeholders):
            yield None
        self._placeholders = 0
        for batch in iterator:
            self.position += 1
            yield batch
        if self.persistent_workers:
            self._made = [
                made + len(range(worker, self.position, self.num_workers)) for worker, made in enumerate(self._made)]
        self.position = 0


class _Remaining:
    """A batch sampler without its first batches."""

    def __init__(self, batch_sampler: Any, skip: int) -> None:
        self.batch_sampler, self.skip = batch_sampler, skip

    def __iter__(self) -> Iterator[list[int]]:
        return itertools.islice(iter(self.batch_sampler), self.skip, None)

    def __len__(self) -> int:
        return len(self.batch_sampler)
