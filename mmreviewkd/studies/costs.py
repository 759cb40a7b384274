"""Measure the constants of the fast path's cost model, :mod:`mmreviewkd.ops.review_level.plan`."""

import statistics
import time
from collections.abc import Callable, Sequence
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from mmreviewkd.models.connectors import ReviewConnector
from mmreviewkd.ops.review_level import LevelShape, plan
from mmreviewkd.ops.review_level.composed_convolution import ComposedConvolution
from mmreviewkd.ops.review_level.direct_convolution import DirectConvolution
from mmreviewkd.ops.review_level.winograd_convolution import WinogradConvolution

# Batch, side, C, M, O and the side of the residual: levels of the benchmark's pairs, and some between them.
SHAPES = (
    (8, 56, 64, 512, 64, 28), (8, 28, 128, 512, 128, 14), (8, 14, 256, 512, 256, 7), (64, 32, 64, 256, 64, 16),
    (64, 16, 128, 256, 128, 8), (64, 8, 256, 256, 256, 4), (64, 32, 16, 64, 16, 16), (64, 16, 32, 64, 32, 8),
    (1, 128, 256, 256, 256, 64), (1, 64, 256, 256, 256, 32), (1, 32, 256, 256, 256, 16), (8, 28, 256, 256, 512, 14))


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


def convolution_times(shape: tuple[int, ...], runs: int) -> list[float]:
    """Seconds of forward and backward pass of ``conv2``: direct, Winograd, composed.

    Args:
        shape (tuple[int, ...]): An entry of :data:`SHAPES`.
        runs (int): How often each is timed.
    """
    n, side, c, m, o, coarse_side = shape
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    weight, affine, fused, grad = normal(o, m, 3, 3), normal(m, c + 1), normal(n, side, side, m), normal(
        n, side, side, o)
    weighted, z1, coarse = normal(n, side, side, c + 1), normal(n, side, side), normal(
        n, coarse_side, 1, coarse_side, 1, m)

    def whole(kind: type) -> None:
        leaves = [weight.requires_grad_(), affine.requires_grad_()]
        kernels = kind.kernels(*leaves)
        convolution = kind(tuple(kernel.detach() for kernel in kernels), torch.float32)
        with torch.no_grad():
            if kind is ComposedConvolution:
                convolution.forward(weighted, z1, coarse)
                convolution.backward(grad.permute(0, 3, 1, 2), weighted, z1, coarse)
            else:
                convolution.forward(fused)
                convolution.backward(grad, fused)
        torch.autograd.grad(kernels, leaves, convolution.gradients, allow_unused=True)

    kinds = (DirectConvolution, WinogradConvolution, ComposedConvolution)
    return median_times([lambda kind=kind: whole(kind) for kind in kinds], runs)


def fit_convolutions(shapes: Sequence[tuple[int, ...]], times: Sequence[Sequence[float]]) -> dict[str, float]:
    """Least-squares fit of the terms of ``plan.convolution_costs`` to times relative to the direct convolution.

    Args:
        shapes (Sequence[tuple[int, ...]]): As :data:`SHAPES`.
        times (Sequence[Sequence[float]]): Times of each shape, from :func:`convolution_times`.

    Returns:
        dict[str, float]: The constants by name, and the root mean square error of both fits.
    """
    winograd, composed, ratios = [], [], []
    for (n, side, c, m, o, coarse_side), (direct, tiles, compose) in zip(shapes, times):
        pixels = n * side * side
        tiled, padded = (side + -side % 4)**2 / side**2, (side + 2)**2 / side**2
        winograd.append([tiled, padded * (1 / m + 1 / o), 1 / pixels])
        composed.append([1 / m, c / pixels])
        ratios.append([tiles / direct, compose / direct - (c + 1) / m - (coarse_side / side)**2])
    ratios = np.array(ratios)
    found = [np.linalg.lstsq(np.array(terms), ratios[:, i], rcond=None)[0]
             for i, terms in enumerate((winograd, composed))]
    errors = [float(np.sqrt(np.mean((np.array(terms) @ constants - ratios[:, i])**2)))
              for i, (terms, constants) in enumerate(zip((winograd, composed), found))]
    names = 'WINOGRAD_RATE', 'WINOGRAD_CHANNEL', 'WINOGRAD_WEIGHT', 'SPREADING_CHANNELS', 'COMPOSING'
    return {
        **dict(zip(names, map(float, np.concatenate(found)))), 'error, winograd': errors[0],
        'error, composed': errors[1]}


def level_times(channels: int, side: int, runs: int, batch: int = 64) -> list[float]:
    """Seconds of forward and backward pass of the finer of two levels of ``M`` channels: plain, fast.

    Args:
        channels (int): ``M``; the student and the teacher have half and a quarter as many.
        side (int): Side of the map, in pixels.
        runs (int): How often each is timed.
        batch (int): Number of images. Defaults to 64.
    """
    features = [
        torch.randn(batch, channels // 2, s, s).to(memory_format=torch.channels_last).requires_grad_()
        for s in (side, max(1, side // 2))]
    sizes = [tuple(feature.shape[-2:]) for feature in features]
    connector = ReviewConnector([channels // 2] * 2, [channels // 4] * 2, channels).to(
        memory_format=torch.channels_last)

    def step(implementation: str) -> None:
        connector.implementation = implementation
        sum(output.sum() for output in connector(features, sizes)).backward()

    return median_times([lambda way=way: step(way) for way in ('plain', 'fast')], runs)


def chunk_times(megabytes: Sequence[int], runs: int) -> list[float]:
    """Seconds of the fast path with chunks of each size, at the finest level of ResNet-34 to ResNet-18.

    Args:
        megabytes (Sequence[int]): Sizes, in MiB.
        runs (int): How often each is timed.
    """
    features = [torch.randn(8, c, s, s).requires_grad_() for c, s in ((64, 56), (128, 28))]
    sizes = [tuple(feature.shape[-2:]) for feature in features]
    connector = ReviewConnector([64, 128], [64, 128], 512, implementation='fast')

    def step(size: int) -> None:
        with mock.patch.object(plan, 'CHUNK_BYTES', size * 2**20):
            sum(output.sum() for output in connector(features, sizes)).backward()

    return median_times([lambda size=size: step(size) for size in megabytes], runs)


def report(runs: int = 5) -> str:
    """Measure everything, and report each constant in use beside its measured value as Markdown.

    Args:
        runs (int): How often each step is timed. Defaults to 5.

    Returns:
        str: The tables.
    """
    lines = [
        f'torch {torch.__version__}, {torch.get_num_threads()} threads, float32, medians of {runs} runs in turns.', '',
        '### conv2: forward and backward pass over the direct convolution', '',
        '| images | side | C | M | O | winograd | predicted | composed | predicted |',
        '|---|---|---|---|---|---|---|---|---|']
    times = []
    for shape in SHAPES:
        direct, *others = convolution_times(shape, runs)
        times.append([direct, *others])
        n, side, c, m, o, coarse = shape
        costs = plan.convolution_costs(
            LevelShape(n, c, m, o, (side, side), (side, side), (coarse, coarse), True), torch.device('cpu'),
            torch.float32)
        lines.append(
            f'| {n} | {side} | {c} | {m} | {o} | {others[0] / direct:.2f} | {costs["winograd"]:.2f} | '
            f'{others[1] / direct:.2f} | {costs["composed"]:.2f} |')
    fitted = fit_convolutions(SHAPES, times)
    lines += ['', 'Least-squares fit of the terms of `plan.convolution_costs` to these ratios:', '',
              '| constant | in use | fitted here |', '|---|---|---|']
    lines += [f'| {name} | {f"{getattr(plan, name):.2f}" if hasattr(plan, name) else ""} | {value:.2f} |'
              for name, value in fitted.items()]
    lines += ['', f'### fast over plain, by M (64 images of 28x28; LEAST_CHANNELS = {plan.LEAST_CHANNELS} in use)', '']
    for channels in (8, 16, 32, 64, 128):
        plain, fast = level_times(channels, 28, runs)
        lines.append(f'- M = {channels}: {fast / plain:.2f}')
    lines += ['', f'### fast over plain, by map (M = 64, 64 images; LEAST_MAP = {plan.LEAST_MAP} in use)', '']
    for side in (2, 4, 8, 16):
        plain, fast = level_times(64, side, runs)
        lines.append(f'- {64 * side * side * 64} values: {fast / plain:.2f}')
    megabytes = (1, 4, 8, 16, 64)
    sizes = chunk_times(megabytes, runs)
    lines += ['', f'### time by chunk, over the best (CHUNK_BYTES = {plan.CHUNK_BYTES // 2**20} MiB in use)', '']
    lines += [f'- {size} MiB: {taken / min(sizes):.2f}' for size, taken in zip(megabytes, sizes)]
    return '\n'.join(lines)
