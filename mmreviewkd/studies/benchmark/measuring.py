"""Measure a training step: time, bytes kept for the backward pass, FLOPs, and peak memory on a GPU."""

import contextlib
import ctypes
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmreviewkd.ops.compiled import library
from mmreviewkd.utils.cpu import cpu_fields
from mmreviewkd.utils.kept_bytes import bytes_kept
from mmreviewkd.utils.progress import tracked

_aten = torch.ops.aten


def flops(step: Callable[[], Tensor]) -> int:
    """Count the floating point operations of the matrix products and convolutions of a step and its backward pass."""
    counter = FlopCounterMode(display=False, custom_mapping={
        _aten.addmm_: lambda a, b, c, **_: 2 * b[0] * b[1] * c[1],
        _aten.baddbmm_: lambda a, b, c, **_: 2 * b[0] * b[1] * b[2] * c[2],
        _aten.convolution_backward: _convolution_backward_flops,
        torch.ops.mkldnn._linear_pointwise: lambda a, b, *_, **__: 2 * math.prod(a) * b[0],
    })
    # The counter's module tracker adds hooks to every module, and a level with hooks is computed by its modules.
    counter.mod_tracker = _NoModuleTracker()
    with counter, _compiled_flops() as compiled:
        step().backward()
    return counter.get_total_flops() + sum(compiled)


@contextlib.contextmanager
def _compiled_flops() -> Iterator[list[int]]:
    """Count the operations of each call of the compiled functions, which PyTorch's counter does not see."""
    functions = library.compiled_functions()
    counting = None if functions is None else _CountingLibrary(functions)
    with mock.patch.object(library, 'compiled_functions', lambda: counting):
        yield [] if counting is None else counting.counted


class _CountingLibrary:
    """The library of compiled functions, with the operations of every call in ``counted``."""

    def __init__(self, functions: ctypes.CDLL) -> None:
        self.functions = functions
        self.counted: list[int] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        function, (pointers, sizes) = getattr(self.functions, name), library.FUNCTIONS[name]

        def run(*arguments: int) -> None:
            self.counted.append(_flops_of_call(name, arguments[pointers:pointers + sizes]))
            function(*arguments)

        return run


def _flops_of_call(name: str, sizes: Sequence[int]) -> int:
    """Operations of the products of a compiled function, for its sizes."""
    if name.startswith('winograd'):
        n, h, w, channels, out = sizes[:5]
        return 2 * 36 * n * -(-h // 4) * -(-w // 4) * channels * out
    if name in ('transposed_product', 'fuse'):
        return 2 * math.prod(sizes[:3] if name == 'transposed_product' else sizes)
    if name == 'scatter':  # one half of a symmetric matrix
        return sizes[0] * sizes[1] * (sizes[1] + 1)
    if name == 'add_centered_product':
        return 2 * sizes[0] * sizes[1]**2
    if name.startswith('attend'):  # two logits; of their adjoint, the gradients of both factors
        pixels, coarse_pixels = math.prod(sizes[:5]), math.prod(sizes[:3])
        return 4 * pixels * sizes[5] if name == 'attend' else 8 * (pixels * sizes[5] + coarse_pixels * sizes[6])
    return 0


def _convolution_backward_flops(
        grad: Sequence[int], inputs: Sequence[int], weight: Sequence[int], *arguments: Any, **_: Any) -> int:
    """FLOPs of the gradients that the output mask asks for; torch's own formula counts grouped ones as dense."""
    return 2 * math.prod(grad) * math.prod(weight[1:]) * sum(arguments[-1][:2])


class _NoModuleTracker(contextlib.nullcontext):
    """Stands in for ``torch.utils.module_tracker.ModuleTracker``."""

    parents = ('Global',)


def seconds(step: Callable[[], Tensor], device: torch.device) -> float:
    """Wall time of a step and its backward pass."""
    for parameter in parameters_of(step):
        parameter.grad = None
    _synchronize(device)
    start = time.perf_counter()
    step().backward()
    _synchronize(device)
    return time.perf_counter() - start


def peak_bytes(step: Callable[[], Tensor], device: torch.device) -> int | None:
    """Peak of the memory that a step and its backward pass allocate on a GPU; None on a CPU."""
    if device.type != 'cuda':
        return None
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    seconds(step, device)
    return torch.cuda.max_memory_allocated(device) - before


def parameters_of(step: partial) -> list[nn.Parameter]:
    """The parameters of the modules among a step's arguments."""
    return [p for argument in step.args if isinstance(argument, nn.Module) for p in argument.parameters()]


def measure(steps: Mapping[str, partial], runs: int, device: torch.device) -> dict[str, dict]:
    """Measure steps in turn, as ratios to the base: the faster of the floors, or the textbook if there is no floor.

    Args:
        steps (Mapping[str, partial]): The steps by column, see :mod:`.steps`.
        runs (int): Number of timings of each step.
        device (torch.device): Where they run.

    Returns:
        dict[str, dict]: By column ``milliseconds``, ``bytes``, ``flops`` and ``peak_bytes``, and the ratios ``time``,
        ``kept`` and ``arithmetic``; the base has ``base=True``.
    """
    times = {column: [] for column in steps}
    for step in steps.values():
        seconds(step, device)
    for _ in tracked(range(runs), f'{len(steps)} steps, {runs} times each', runs):
        for column, step in steps.items():
            times[column].append(seconds(step, device))
    medians = {column: statistics.median(values) for column, values in times.items()}
    floors = [column for column in steps if column.startswith('floor')]
    base = min(floors, key=medians.get) if floors else 'textbook, NCHW'
    rows = {}
    for column, step in steps.items():
        kept, loss = bytes_kept(step, parameters_of(step))
        loss.backward()
        rows[column] = dict(
            milliseconds=1e3 * medians[column],
            time=statistics.median(a / b for a, b in zip(times[column], times[base])),
            bytes=kept, flops=flops(step), peak_bytes=peak_bytes(step, device))
    for row in rows.values():
        row['kept'] = row['bytes'] / rows[base]['bytes']
        row['arithmetic'] = row['flops'] / rows[base]['flops']
    rows[base]['base'] = True
    return rows


def machine(device: torch.device) -> dict:
    """Processor, its vector instructions, threads, device and versions that the figures depend on."""
    return dict(
        cpu=cpu_fields('model name'), instructions=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(), torch=torch.__version__, python=platform.python_version(),
        device=torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu')


def _synchronize(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
