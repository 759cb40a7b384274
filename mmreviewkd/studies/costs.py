"""Measure the constants of the fast path's cost model, :mod:`mmreviewkd.ops.review_level.plan`, on whole levels."""

import statistics
import time
from collections.abc import Callable, Sequence
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from mmreviewkd.models.connectors.attention_based_fusion import AttentionBasedFusion
from mmreviewkd.models.connectors.fast_level import trial
from mmreviewkd.ops.review_level import LevelPlan, LevelShape, plan, timed_ways
from mmreviewkd.ops.review_level.direct_convolution import DirectConvolution
from mmreviewkd.ops.review_level.plan import CostConstants

# Batch, M, and (side, C, O) of each level, fine to coarse: review paths of the benchmark's pairs, and two between them.
PATHS = (
    (64, 256, ((32, 64, 64), (16, 128, 128), (8, 256, 256), (1, 256, 256))),
    (64, 64, ((32, 16, 16), (16, 32, 32), (8, 64, 64), (1, 64, 64))),
    (8, 512, ((56, 64, 64), (28, 128, 128), (14, 256, 256), (7, 512, 512), (1, 512, 512))),
    (8, 256, ((56, 128, 256), (28, 256, 512), (14, 512, 1024), (7, 1024, 2048), (1, 1024, 2048))),
    (1, 256, ((128, 256, 256), (64, 256, 256), (32, 256, 256), (16, 256, 256))),
    (64, 128, ((32, 32, 64), (16, 64, 128), (8, 128, 256))),
    (16, 384, ((28, 96, 192), (14, 192, 384), (7, 384, 768))),
)
Times = dict[str, float]


def shapes_of(paths: Sequence[tuple] = PATHS) -> list[LevelShape]:
    """The shapes of the levels of review paths, written as in :data:`PATHS`, that are large enough for the fast way."""
    shapes = []
    for batch, mid_channels, levels in paths:
        coarser = [(side, side) for side, _, _ in levels[1:]] + [None]
        for index, ((side, in_channels, out_channels), coarse) in enumerate(zip(levels, coarser)):
            shape = LevelShape(
                batch, in_channels, mid_channels, out_channels, (side, side), (side, side), coarse, index == 0)
            if shape.pixels * mid_channels >= plan.LEAST_MAP and side > 1:
                shapes.append(shape)
    return shapes


def median_times(steps: Sequence[Callable[[], object]], runs: int) -> list[float]:
    """Median seconds of each step. The steps run in turn, after one warm-up run each."""
    for step in steps:
        step()
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(runs):
        for step, taken in zip(steps, times):
            start = time.perf_counter()
            step()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def level_times(shape: LevelShape, runs: int) -> Times:
    """Measure a level's forward and backward pass in every way that applies, in seconds.

    Args:
        shape (LevelShape): Its shapes.
        runs (int): How often each is timed.

    Returns:
        Times: By name, ``'plain'`` and the convolutions of the fast way; and ``'conv2'``, the direct convolution alone.
    """
    block, feature = _level(shape)
    ways = timed_ways(shape, torch.device('cpu'), torch.float32)
    steps = [*(trial(block, feature, way) for way in ways.values()), _direct_convolution(shape)]
    return dict(zip([*ways, 'conv2'], median_times(steps, runs)))


def _level(shape: LevelShape) -> tuple[AttentionBasedFusion, Tensor]:
    block = AttentionBasedFusion(
        shape.in_channels, shape.mid_channels, shape.out_channels, fuse=shape.coarse_size is not None)
    feature = torch.randn(shape.batch, shape.in_channels, *shape.size)
    return block.to(memory_format=torch.channels_last), feature.to(memory_format=torch.channels_last)


def _direct_convolution(shape: LevelShape) -> Callable[[], None]:
    weight = torch.randn(shape.out_channels, shape.mid_channels, 3, 3)
    fused, grad = (torch.randn(shape.batch, *shape.target_size, c) for c in (shape.mid_channels, shape.out_channels))

    def run() -> None:
        with torch.no_grad():
            convolution = DirectConvolution(DirectConvolution.kernels(weight, None), torch.float32)
            convolution.forward(fused)
            convolution.backward(grad, fused)

    return run


def relative_costs(times: Times) -> Times:
    """Costs of the convolutions in multiples of the direct one's, as ``plan.convolution_costs`` predicts them.

    Args:
        times (Times): Times of a level, from :func:`level_times`.
    """
    return {
        name: 1 + (times[name] - times['direct']) / times['conv2'] for name in ('winograd', 'composed')
        if name in times}


def fit(shapes: Sequence[LevelShape], costs: Sequence[Times]) -> CostConstants:
    """Fit the constants of ``plan.convolution_costs`` by least squares; none is negative.

    Args:
        shapes (Sequence[LevelShape]): The shapes of the levels.
        costs (Sequence[Times]): The costs of each, from :func:`relative_costs`.

    Returns:
        CostConstants: The constants; the margin is 1 less the root mean square error.
    """
    none = CostConstants(1, 0, 0, 0, 0, 0, 0, plan.cost_constants().compiled)
    # The costs of Winograd's algorithm first, as they are a part of the composed convolution's.
    winograd, error = _least_squares(
        shapes, costs, none, 'winograd', ('winograd_rate', 'winograd_channel', 'winograd_weight'))
    found, other_error = _least_squares(
        shapes, costs, winograd, 'composed', ('spreading_channels', 'composing', 'fusing_channels'))
    return found._replace(margin=1 - float(np.sqrt((error + other_error) / 2)))


def _least_squares(
        shapes: Sequence[LevelShape], costs: Sequence[Times], known: CostConstants, name: str,
        constants: tuple[str, ...]) -> tuple[CostConstants, float]:
    """Fit some constants, with the others as ``known``, and return them with the mean square error.

    Predicted costs are linear in these constants, so one prediction for each constant gives the whole system.
    """
    from scipy.optimize import nnls
    rows, rest = [], []
    for shape, cost in zip(shapes, costs):
        if name in cost:
            base = _predicted(shape, known, name)
            rows.append([_predicted(shape, known._replace(**{c: 1.0}), name) - base for c in constants])
            rest.append(cost[name] - base)
    values, error = nnls(np.array(rows), np.array(rest))
    return known._replace(**dict(zip(constants, map(float, values)))), error**2 / len(rest)


def _predicted(shape: LevelShape, constants: CostConstants, name: str) -> float:
    with mock.patch.object(plan, 'cost_constants', lambda *_: constants):
        return plan.convolution_costs(shape, torch.device('cpu'), torch.float32)[name]


def chosen(shape: LevelShape) -> str:
    """The convolution that the cost model chooses for a level on a CPU, in float32."""
    return plan.cheapest_convolution(plan.convolution_costs(shape, torch.device('cpu'), torch.float32))


def fast_over_plain(shape: LevelShape, runs: int) -> float:
    """Ratio of a level's time by the fast way, with the chosen convolution, to its time by the plain modules."""
    times = level_times(shape, runs)
    return times[chosen(shape)] / times['plain']


def chunk_times(megabytes: Sequence[int], runs: int) -> list[float]:
    """Seconds of the fast path with chunks of each size, at the finest level of ResNet-34 to ResNet-18.

    Args:
        megabytes (Sequence[int]): Sizes, in MiB.
        runs (int): How often each is timed.
    """
    shape = LevelShape(8, 64, 512, 64, (56, 56), (56, 56), (28, 28), True)
    block, feature = _level(shape)
    plans: list[LevelPlan] = []
    for size in megabytes:
        with mock.patch.object(plan, 'CHUNK_BYTES', size * 2**20):
            plans.append(timed_ways(shape, torch.device('cpu'), torch.float32)['winograd'])
    return median_times([trial(block, feature, way) for way in plans], runs)


def report(runs: int = 5) -> str:
    """Measure everything, and report each constant in use beside its measured value as Markdown.

    Args:
        runs (int): How often each step is timed. Defaults to 5.

    Returns:
        str: The tables.
    """
    shapes = shapes_of()
    times = [level_times(shape, runs) for shape in shapes]
    costs = [relative_costs(taken) for taken in times]
    fitted = fit(shapes, costs)
    lines = [
        f'torch {torch.__version__}, {torch.get_num_threads()} threads, float32, channels_last, medians of {runs} runs '
        'in turns.', '', '### Constants of `plan.convolution_costs`', '',
        f'{"Compiled functions" if fitted.compiled else "Tensor operations"}. Least-squares fit to the costs of whole '
        'levels, forward and backward pass:', '', '| constant | in use | measured here |', '|---|---|---|']
    lines += [f'| {name} | {used:.2f} | {value:.2f} |'
              for name, used, value in zip(fitted._fields[:-1], plan.cost_constants(), fitted)]
    with mock.patch.object(plan, 'cost_constants', lambda *_: fitted):
        chosen_by_fit = [chosen(shape) for shape in shapes]
        predicted = [plan.convolution_costs(shape, torch.device('cpu'), torch.float32) for shape in shapes]
    lines += ['', '### What they choose', '',
              'Cost of `conv2` in multiples of the direct convolution, measured and as predicted by the measured '
              'constants; the convolution chosen and the time of the level over that with the fastest one.', '',
              '| images | side | C | M | O | winograd | predicted | composed | predicted | in use | | measured | |',
              '|' + '---|' * 13]
    totals = [0.0, 0.0, 0.0]
    for shape, taken, cost, by_fit, prediction in zip(shapes, times, costs, chosen_by_fit, predicted):
        best = min(taken[name] for name in ('direct', *cost))
        choices = chosen(shape), by_fit
        totals = [a + b for a, b in zip(totals, (best, *(taken[name] for name in choices)))]
        cells = [f'{value[name]:.2f}' if name in cost else '' for name in ('winograd', 'composed')
                 for value in (cost, prediction)]
        cells += [cell for name in choices for cell in (name, f'{taken[name] / best:.2f}')]
        lines.append(
            f'| {shape.batch} | {shape.size[0]} | {shape.in_channels} | {shape.mid_channels} | {shape.out_channels} | '
            f'{" | ".join(cells)} |')
    lines += ['', f'All levels, over the fastest ways: {totals[1] / totals[0]:.3f} with the constants in use, '
              f'{totals[2] / totals[0]:.3f} with the measured ones.']
    least = plan.least_channels(torch.device('cpu'))
    lines += ['', f'### Fast over plain, by M (64 images of 28x28; from M = {least} on in use)', '']
    for channels in (8, 16, 32, 64, 128):
        shape = LevelShape(64, channels // 2, channels, channels // 4, (28, 28), (28, 28), (14, 14), True)
        lines.append(f'- M = {channels}: {fast_over_plain(shape, runs):.2f}')
    lines += ['', f'### Fast over plain, by map (M = 64, 64 images; LEAST_MAP = {plan.LEAST_MAP} in use)', '']
    for side in (2, 4, 8, 16):
        shape = LevelShape(64, 32, 64, 16, (side, side), (side, side), (side // 2, side // 2), True)
        lines.append(f'- {64 * side * side * 64} values: {fast_over_plain(shape, runs):.2f}')
    megabytes = (1, 4, 8, 16, 64)
    sizes = chunk_times(megabytes, runs)
    lines += ['', f'### Time by chunk, over the best (CHUNK_BYTES = {plan.CHUNK_BYTES // 2**20} MiB in use)', '']
    lines += [f'- {size} MiB: {taken / min(sizes):.2f}' for size, taken in zip(megabytes, sizes)]
    return '\n'.join(lines)
