"""Choose how to compute a level among several exact implementations, from shapes alone."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from mmreviewkd.ops.compiled import compiled_functions

from .layout import repeats_whole_blocks
from .matmul import onednn_pays

IMPLEMENTATIONS = ('auto', 'plain', 'fast')
PREFERENCES = ('time', 'memory')

# Batches of fewer pixels are computed by the plain modules: the gradient through their statistics almost cancels, so
# rounding would dominate it.
LEAST_PIXELS = 8

# Chosen: `python tools/measure_costs.py` prints the times that speak for them, or, for LEAST_MAP, what the memory that
# is saved costs; LEAST_SAVED was chosen from levels of 49 to 1024 pixels, which no command measures. On other devices
# than CPUs only LEAST_CHANNELS and LEAST_MAP are used.
CHUNK_BYTES = 8 * 2**20
"""Size of a chunk's fused map: fits the last-level cache, and is below the size that an allocator requests from the
system anew each time."""
DEVICE_CHUNK_BYTES = 64 * 2**20
"""Size of a chunk's map in float32 on other devices than CPUs: of levels with ``prefer='memory'`` or where measured
times show that chunks cost no time, else the whole batch is computed at once; and of HCL of bfloat16 maps."""
LEAST_CHANNELS, LEAST_CHANNELS_COMPILED = 32, 16
"""Least ``M``: products and passes with fewer channels are slower than the plain modules."""
LEAST_MAP = 2**18
"""Least ``M`` times the pixels of the batch: smaller maps take too little memory for recomputation to pay."""
LEAST_SAVED = 2**25
"""Least number of products of the direct ``conv2`` that another convolution saves, over all pixels, at which the fast
way pays for smaller maps, too."""

VECTOR_CHANNELS = 16
"""Channels of a vector of the widest CPUs. The compiled sum of the composed convolution is slow for channels that are
left over, so it is not chosen for other numbers of output channels."""


class CostConstants(NamedTuple):
    """Constants of :func:`convolution_costs`, for compiled functions or, without them, for one kind of CPU.

    Args:
        margin (float): Highest predicted cost, relative to the direct convolution, at which another one is chosen: 1
            less the root mean square relative error of the predictions.
        spreading_channels (float): Composed: cost of repeating the nine products over blocks, in channels of a 3x3
            convolution.
        composing (float): Composed: cost of computing the kernel twice and its gradients, in products of the size of
            one 3x3 kernel.
        fusing_channels (float): Composed, at the finest level: what is saved where the fused map is not computed, in
            channels of a 3x3 convolution.
        winograd_rate (float): Winograd: time of its products per product of the definition.
        winograd_channel (float): Winograd: transforms of a channel of a pixel, in products of the definition at one
            pixel.
        winograd_weight (float): Winograd: transforms of a weight and its gradient, in products of the definition at
            one pixel.
        compiled (bool): Whether the C++ functions are compiled (:mod:`.compiled`). Then the composed convolution
            computes its first sum by Winograd's algorithm.
    """

    margin: float
    spreading_channels: float
    composing: float
    fusing_channels: float
    winograd_rate: float
    winograd_channel: float
    winograd_weight: float
    compiled: bool = False


# Measured and rounded: `python tools/measure_costs.py` times whole levels, forward and backward pass, in float32, on
# CPUs with two cores, all of AMD: compiled on one with AVX-512, tensor operations on one with AVX-512 and one without.
# With AVX-512 the direct convolution is so fast that tensor operations pay less often.
COSTS_COMPILED = CostConstants(0.88, 40, 4, 24, 0.4, 3.5, 90, True)
COSTS_OF_AVX2 = CostConstants(0.85, 32, 1.9, 0, 0.16, 22, 380)
COSTS_OF_AVX512 = CostConstants(0.78, 28, 4.9, 0, 0.25, 45, 600)


class LevelShape(NamedTuple):
    """Shapes of a level.

    Args:
        batch (int): Images.
        in_channels (int): ``C``.
        mid_channels (int): ``M``.
        out_channels (int): ``O``.
        size (tuple[int, int]): ``(h, w)`` of the student's feature.
        target_size (tuple[int, int]): ``(H, W)`` of the teacher's feature.
        coarse_size (tuple[int, int], optional): ``(h', w')`` of the residual; None where none is fused.
        is_finest (bool): Whether this is the finest level, whose fused map no other level takes.
        kernel_size (int): Side of ``conv2``, 3 or 1. Defaults to 3.
    """

    batch: int
    in_channels: int
    mid_channels: int
    out_channels: int
    size: tuple[int, int]
    target_size: tuple[int, int]
    coarse_size: tuple[int, int] | None
    is_finest: bool
    kernel_size: int = 3

    @property
    def pixels(self) -> int:
        """Pixels of the student's feature in the batch."""
        return self.batch * self.size[0] * self.size[1]

    @property
    def target_pixels(self) -> int:
        """Pixels of the teacher's feature in the batch."""
        return self.batch * self.target_size[0] * self.target_size[1]


@dataclass(frozen=True)
class LevelPlan:
    """How a level is computed, and why; ``print(plan)`` shows it in one line.

    Args:
        way (str): ``'plain'``, by the modules that define the level, or ``'fast'``.
        reason (str): Why this way was chosen.
        shape (LevelShape): The shapes of the level.
        dtype (torch.dtype, optional): Type of the maps; None if only the plain modules can compute the level.
        covariance (bool): Whether the statistics of ``conv1`` come from the covariance of its input.
        convolution (str): ``'direct'``, ``'composed'`` or ``'winograd'``, see :func:`convolution_costs`.
        keeps_fused (bool): Whether the fused map is kept for the backward pass rather than computed again.
        images (int): Images per chunk.
        costs (dict[str, float]): Predicted cost of each convolution, in multiples of the direct one's.
    """

    way: str
    reason: str
    shape: LevelShape
    dtype: torch.dtype | None = None
    covariance: bool = False
    convolution: str = 'direct'
    keeps_fused: bool = False
    images: int = 0
    costs: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.way == 'plain':
            return f'plain: {self.reason}'
        costs = ', '.join(f'{name} {cost:.2f}' for name, cost in self.costs.items())
        return (
            f'fast: {self.reason}; conv2 {self.convolution} (costs: {costs or "not compared"}), statistics from the '
            f'{"covariance of the input" if self.covariance else "output of conv1"}, fused map '
            f'{"kept" if self.keeps_fused else "recomputed" if self.convolution != "composed" else "not needed"}, '
            f'{self.images} of {self.shape.batch} images at a time')


def plan_level(
        shape: LevelShape, device: torch.device, dtype: torch.dtype | None, implementation: str = 'auto',
        obstacle: str | None = None, prefer: str = 'time') -> LevelPlan:
    """Plan how to compute a level.

    Args:
        shape (LevelShape): The shapes of the level.
        device (torch.device): Device of the maps.
        dtype (torch.dtype, optional): Type of the maps: the parameters' or autocast's; None with an ``obstacle``.
        implementation (str): ``'plain'`` or ``'fast'`` to force one; ``'auto'`` for whichever is cheaper.
            Defaults to 'auto'.
        obstacle (str, optional): Why only the plain modules can compute the level. Defaults to None.
        prefer (str): What ``'auto'`` saves, ``'time'`` or ``'memory'``. Defaults to 'time'.

    Returns:
        LevelPlan: The plan.
    """
    if implementation == 'plain':
        return LevelPlan('plain', "implementation='plain'", shape)
    if obstacle is not None:
        return LevelPlan('plain', obstacle, shape)
    smallest = shape.batch * min(shape.size[0] * shape.size[1], shape.target_size[0] * shape.target_size[1])
    if smallest < LEAST_PIXELS:
        return LevelPlan('plain', f'{smallest} pixels in the batch are too few for the fast way', shape)
    if implementation == 'auto' and prefer == 'time' and shape.mid_channels < least_channels(device, dtype):
        return LevelPlan('plain', f'{shape.mid_channels} channels are too narrow for the fast way to pay', shape, dtype)
    costs = convolution_costs(shape, device, dtype)
    convolution = cheapest_convolution(costs)
    reason = "implementation='fast'"
    if implementation == 'auto' and prefer == 'memory':
        reason = "prefer='memory'"
    elif implementation == 'auto':
        values = shape.pixels * shape.mid_channels
        saved = (1 - costs.get(convolution, 1)) * shape.target_pixels * shape.mid_channels * shape.out_channels
        if values < LEAST_MAP and saved < LEAST_SAVED:
            return LevelPlan('plain', f'maps of {values} values are too small for the fast way to pay', shape, dtype)
        reason = f'maps of {values} values are worth not keeping' if values >= LEAST_MAP else 'conv2 saves enough'
    return replace(_fast_plan(shape, device, dtype, convolution, reason, prefer), costs=costs)


def timed_ways(shape: LevelShape, device: torch.device, dtype: torch.dtype) -> dict[str, LevelPlan]:
    """The ways to compute a level among which measured times may choose: all that are as exact as the definition.

    In half precision, and where float32 products of matrices are rounded to TF32, only the direct convolution is. A
    1x1 ``conv2`` has no other. Where chunks of the batch can be smaller than they are to save time, each convolution is
    there in both sizes.

    Args:
        shape (LevelShape): The shapes of the level.
        device (torch.device): Device of the maps.
        dtype (torch.dtype): Type of the maps.

    Returns:
        dict[str, LevelPlan]: Plans by name: ``'plain'``, the convolutions of the fast way, and those in smaller chunks;
        each of these three kinds takes less memory than the one before.
    """
    exact = dtype.itemsize >= 4 and torch.get_float32_matmul_precision() == 'highest' and shape.kernel_size == 3
    convolutions = ['direct', *(['winograd'] if exact else []), *(['composed'] if exact and composes(shape) else [])]
    fast, in_chunks = (
        {name: _fast_plan(shape, device, dtype, name, '', prefer) for name in convolutions}
        for prefer in ('time', 'memory'))
    return {
        'plain': LevelPlan('plain', '', shape, dtype), **fast,
        **{f'{name} in chunks': plan for name, plan in in_chunks.items() if plan.images < fast[name].images}}


def _fast_plan(
        shape: LevelShape, device: torch.device, dtype: torch.dtype, convolution: str, reason: str,
        prefer: str) -> LevelPlan:
    # The fused map of a level that is not the finest is kept anyway, as the residual of the next one. That of the
    # finest is computed again, unless that would cost as much as conv1 of a student as wide as the path.
    keeps_finest = prefer == 'time' and shape.in_channels >= shape.mid_channels
    return LevelPlan(
        'fast', reason, shape, dtype, covariance_pays(shape), convolution,
        convolution != 'composed' and (not shape.is_finest or keeps_finest),
        images_per_chunk(shape, device, dtype, prefer))


def covariance_pays(shape: LevelShape) -> bool:
    """Whether the statistics of ``conv1`` are cheaper from the covariance of its input than from its output.

    In a training step the covariance ``[C, C]`` costs a product for itself, one for the gradient of the input and three
    of the size of the weights; without it ``conv1`` runs once more forward and three times backward.

    Args:
        shape (LevelShape): The shapes of the level.
    """
    pixels, c, m = shape.pixels, shape.in_channels, shape.mid_channels
    return 2 * pixels * c**2 + 3 * m * c**2 < 4 * pixels * c * m


def convolution_costs(shape: LevelShape, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Predict the cost of ``conv2`` by each applicable convolution, in multiples of the direct one's.

    Costs are counted in products of channels per pixel, at the speed of the direct convolution:

    - direct: ``M O``.
    - winograd: a fraction of ``M O`` over whole tiles, and transforms of the maps and the weights.
    - composed: a convolution from ``C + 1`` channels, ``O M`` per coarse pixel, repeating the products over blocks, and
      composing the kernel, less what the fused map would cost that the finest level does not need; for few output
      channels the sum can be negative. It applies if the residual's pixels are repeated over whole blocks and the level
      is not resized after fusing.

    The costs are measured on a few CPUs only (:class:`CostConstants`), and in half precision the other convolutions
    would round more often than the definition; other devices and half precision therefore use the direct convolution,
    as does a 1x1 ``conv2``.

    Args:
        shape (LevelShape): The shapes of the level.
        device (torch.device): Device of the maps.
        dtype (torch.dtype): Type of the maps.

    Returns:
        dict[str, float]: Cost by name; empty if the convolutions are not compared.
    """
    if device.type != 'cpu' or dtype.itemsize < 4 or shape.kernel_size != 3:
        return {}
    (h, w), c, m, o = shape.target_size, shape.in_channels, shape.mid_channels, shape.out_channels
    constants = cost_constants(dtype)
    costs = {'direct': m * o, 'winograd': winograd_cost(shape, m, constants)}
    if composes(shape) and (not constants.compiled or o % VECTOR_CHANNELS == 0):
        own = winograd_cost(shape, c + 1, constants) if constants.compiled else o * (c + 1)
        share = shape.coarse_size[0] * shape.coarse_size[1] / (h * w)
        costs['composed'] = (
            own + o * (m * share + constants.spreading_channels) + constants.composing * m * o * c / shape.target_pixels
            - (constants.fusing_channels * m if shape.is_finest else 0))
    return {name: cost / (m * o) for name, cost in costs.items()}


def winograd_cost(shape: LevelShape, channels: int, constants: CostConstants) -> float:
    """Products per pixel of a Winograd convolution from ``channels`` to the output's channels of a level."""
    (h, w), o = shape.target_size, shape.out_channels
    tiled = (h + -h % 4) * (w + -w % 4) / (h * w)
    padded = (h + 2) * (w + 2) / (h * w)
    return (
        constants.winograd_rate * tiled * channels * o + constants.winograd_channel * padded * (channels + o)
        + constants.winograd_weight * channels * o / shape.target_pixels)


def composes(shape: LevelShape) -> bool:
    """Whether ``conv2`` can be composed: nearest resizing repeats whole blocks, and nothing is resized after fusing."""
    return shape.coarse_size is not None and shape.target_size == shape.size and repeats_whole_blocks(
        shape.coarse_size, shape.size)


def cheapest_convolution(costs: dict[str, float]) -> str:
    """The cheapest convolution by name; the direct one unless another costs less than ``margin`` times as much."""
    if not costs:
        return 'direct'
    margin = cost_constants().margin
    return min(costs, key=lambda name: costs[name] * (margin if name == 'direct' else 1))


def cost_constants(dtype: torch.dtype = torch.float32) -> CostConstants:
    """The constants of the cost model on this CPU, for maps of type ``dtype``."""
    if dtype == torch.float32 and compiled_functions() is not None:
        return COSTS_COMPILED
    return COSTS_OF_AVX512 if onednn_pays() else COSTS_OF_AVX2


def least_channels(device: torch.device, dtype: torch.dtype = torch.float32) -> int:
    """Least ``M`` with which the fast way pays."""
    compiled = device.type == 'cpu' and dtype == torch.float32 and cost_constants(dtype).compiled
    return LEAST_CHANNELS_COMPILED if compiled else LEAST_CHANNELS


def images_per_chunk(shape: LevelShape, device: torch.device, dtype: torch.dtype, prefer: str = 'time') -> int:
    """Images whose fused maps fit a chunk, at least one; the whole batch on other devices than CPUs, to save time."""
    if device.type != 'cpu' and prefer == 'time':
        return max(1, shape.batch)
    size = CHUNK_BYTES if device.type == 'cpu' else DEVICE_CHUNK_BYTES
    pixels = max(shape.size[0] * shape.size[1], shape.target_size[0] * shape.target_size[1])
    wide = max(dtype.itemsize, 4)  # the rows of a chunk are in the parameters' precision
    return max(1, min(shape.batch, size // max(1, shape.mid_channels * pixels * wide)))
