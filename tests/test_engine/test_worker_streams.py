"""The random states of a data loader's workers."""

import random

import numpy as np
import torch

from mmreviewkd.engine.worker_streams import WorkerStreams


def draw(_=None):
    return random.random(), np.random.rand(), torch.rand(()).item()


def seed(worker):
    random.seed(worker)
    np.random.seed(worker)
    torch.manual_seed(worker)


def test_a_worker_resumes_with_the_numbers_it_would_have_drawn():
    streams = WorkerStreams(2, 2, seed, draw)
    streams.start(0)
    streams.start(1)
    batches = [streams.collate(None) for _ in range(4)]
    resumed = WorkerStreams(2, 2, seed, draw)
    resumed.start_from(streams.states_before([0, 2]), 2)
    resumed.start(0)
    resumed.start(1)
    assert [resumed.collate(None) for _ in range(2)] == batches[2:]
    assert torch.equal(resumed.states_before([0, 3])[1], streams.states_before([0, 3])[1])


def test_without_states_to_resume_from_a_worker_starts_as_its_loader_says():
    streams = WorkerStreams(1, 2, seed, draw)
    streams.start_from(torch.zeros(1, 1), 3)
    streams.start_from(None, 0)
    streams.start(0)
    first = streams.collate(None)
    seed(0)
    assert first == draw()


def test_states_are_kept_for_every_batch_that_may_be_in_flight():
    prefetch = 3
    streams = WorkerStreams(1, prefetch, None, draw)
    streams.start(0)
    states = [streams.states_before([0])]
    for batch in range(1, 10):
        streams.collate(None)
        states.append(streams.states_before([batch]))
    for batch in range(9 - prefetch - 2, 10):
        assert torch.equal(streams.states_before([batch]), states[batch]), batch
