"""Choose how each level of a review path is computed by timing the ways in the first training steps."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.logging import MessageHub

from mmreviewkd.ops.review_level import LevelPlan

# The measured times are kept here, so that a checkpoint holds them and a resumed run makes the same choices.
KEY = 'mmreviewkd_level_times'
# Of several ranks each measures what it meets in so many training steps, after each of which all ranks share their
# times. Later none waits for another.
SHARED_STEPS = 3
REPEATS = 3
# Ways that take at most so many times the time of the fastest are as fast: times vary by as much.
AS_FAST = 1.03

Times = dict[str, dict[str, float]]


class Candidate(NamedTuple):
    """A level whose implementation is to be chosen.

    Args:
        plan (LevelPlan): How it is computed if nothing was measured.
        kind (str): What its times depend on, but for the number of pixels.
        pixels (int): Pixels of the batch.
        device (torch.device): Where it is computed.
        ways (Mapping[str, LevelPlan]): The ways to choose from, by name; of ways that are as fast, the last is taken.
        trial (Callable): Makes, for a plan, a function that runs the level once, forward and backward, without effect.
    """

    plan: LevelPlan
    kind: str
    pixels: int
    device: torch.device
    ways: Mapping[str, LevelPlan]
    trial: Callable[[LevelPlan], Callable[[], None]]

    @property
    def octave(self) -> int:
        """The number of binary digits of the pixels: levels of one kind and octave are measured once."""
        return self.pixels.bit_length()

    @property
    def key(self) -> str:
        """The name of its times."""
        return f'{self.kind} @ {self.octave}'


class MeasuredChoice:
    """Chooses the fastest way to compute each level, as cuDNN's benchmark mode chooses convolutions.

    Args:
        devices (set[str], optional): Types of the devices on which times are measured; None for all but CPUs, for which
            the costs of :mod:`mmreviewkd.ops.review_level.plan` were measured. Defaults to None.
        seconds (Callable, optional): Measures a call on a device; None for :func:`seconds`. Defaults to None.
    """

    def __init__(
            self, devices: set[str] | None = None,
            seconds: Callable[[Callable[[], None], torch.device], float] | None = None) -> None:
        self.devices = devices
        self.seconds = seconds
        self._steps = 0

    def applies(self, device: torch.device) -> bool:
        """Whether the implementation is chosen by measured times on a device.

        It is not where deterministic algorithms are asked for: which way is the fastest can vary between runs.
        """
        wanted = device.type != 'cpu' if self.devices is None else device.type in self.devices
        return wanted and not torch.are_deterministic_algorithms_enabled()

    def choose(self, levels: Sequence[Candidate], training: bool) -> list[LevelPlan]:
        """Choose a plan for each level, after measuring those of a new kind or size if this is a training step.

        All ranks make the same choices. They must all call this function in each of their first training steps.

        Args:
            levels (Sequence[Candidate]): The levels.
            training (bool): Whether this is a training step.

        Returns:
            list[LevelPlan]: A plan for each level.
        """
        hub = MessageHub.get_current_instance()
        times: Times = hub.get_info(KEY, {})
        if training:
            new = self._measure(levels, times)
            if new:
                times = {**times, **new}
                hub.update_info(KEY, times)
        return [_fastest(level, times) for level in levels]

    def _measure(self, levels: Sequence[Candidate], known: Times) -> Times:
        """The times of levels that are not known yet; with several ranks, those that any of them has measured."""
        several = get_world_size() > 1
        if several and self._steps >= SHARED_STEPS:
            return {}
        self._steps += 1
        new: Times = {}
        for level in levels:
            if level.key not in known and level.key not in new:
                new[level.key] = self._times(level)
        return _means(all_gather_object(new)) if several else new

    def _times(self, level: Candidate) -> dict[str, float]:
        """Seconds of each way, the least of several runs in turn; ways that run out of memory are left out."""
        measure, runs = self.seconds or seconds, {}
        for name, plan in level.ways.items():
            run = level.trial(plan)
            try:
                run()
            except torch.cuda.OutOfMemoryError:
                continue
            runs[name] = run
        times = [{name: measure(run, level.device) for name, run in runs.items()} for _ in range(REPEATS)]
        return {name: min(round_[name] for round_ in times) for name in runs}


def seconds(run: Callable[[], None], device: torch.device) -> float:
    """The time that a call takes on a device, on a GPU by CUDA events."""
    if device.type == 'cuda':
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3
    _synchronize(device)
    start = time.perf_counter()
    run()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    module = getattr(torch, device.type, None)
    if device.type != 'cpu' and hasattr(module, 'synchronize'):
        module.synchronize()


def _fastest(level: Candidate, times: Times) -> LevelPlan:
    measured = times.get(level.key) or _nearest(level, times)
    known = {name: seconds for name, seconds in (measured or {}).items() if name in level.ways}
    if not known:
        return level.plan
    best = [name for name in level.ways if known.get(name, math.inf) <= AS_FAST * min(known.values())][-1]
    listed = ', '.join(f'{name} {1e3 * seconds:.2f}' for name, seconds in known.items())
    return dataclasses.replace(level.ways[best], reason=f'measured in ms: {listed}')


def _nearest(level: Candidate, times: Times) -> dict[str, float] | None:
    """The times of the same kind of level with the next number of pixels."""
    octaves = [int(key.rsplit(' ', 1)[1]) for key in times if key.rsplit(' @ ', 1)[0] == level.kind]
    if not octaves:
        return None
    return times[f'{level.kind} @ {min(octaves, key=lambda octave: (abs(octave - level.octave), octave))}']


def _means(of_ranks: Sequence[Times]) -> Times:
    """The mean of what the ranks measured, of the ways that all of them could run."""
    means = {}
    for key in dict.fromkeys(key for times in of_ranks for key in times):
        measured = [times[key] for times in of_ranks if key in times]
        means[key] = {
            name: sum(times[name] for times in measured) / len(measured)
            for name in measured[0] if all(name in times for times in measured)}
    return means
