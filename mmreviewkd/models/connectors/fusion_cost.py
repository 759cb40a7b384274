"""Which of several exact ways to compute a level of the review path is the cheapest, judged by shapes alone."""

import torch

# Fits the last cache of a small CPU, and is below the size from which an allocator asks the system every time.
CHUNK_BYTES = 8 * 2**20
# Smaller maps cost less than what it takes to avoid them.
LEAST_MAP = 2**18
# Narrower ones are moved and multiplied too slowly, pixel by pixel, for anything to be gained by doing it twice.
LEAST_CHANNELS = 32
# Another way than the definition's has to promise this share of its cost.
MARGIN = 0.85
# What spreading products over blocks costs, in channels of a 3x3 convolution.
SPREADING_CHANNELS = 32
# Of composing the kernels, which is done twice in a step and has two gradients.
COMPOSING = 4 / 3
# Of F(4x4, 3x3): products at the rate of small matrices, transforms for each channel of a pixel and for each weight.
WINOGRAD_RATE, WINOGRAD_CHANNEL, WINOGRAD_WEIGHT = 0.2, 30, 500


def fast_pays(pixels: int, mid_channels: int) -> bool:
    """Whether the maps of a level are large and wide enough that it is worth not to keep them.

    Args:
        pixels (int): Of the whole batch.
        mid_channels (int): ``M``.
    """
    return mid_channels >= LEAST_CHANNELS and pixels * mid_channels >= LEAST_MAP


def statistics_from_covariance(pixels: int, mid_channels: int, in_channels: int) -> bool:
    """Whether the statistics of ``conv1`` are cheaper to take from the covariance of its input than from its output.

    Over a step the covariance ``[C, C]`` costs a product for itself, one for the gradient of the input and three of
    the size of the weights; without it ``conv1`` runs once more forward and three times backward.

    Args:
        pixels (int): Of the whole batch.
        mid_channels (int): ``M``.
        in_channels (int): ``C``.
    """
    with_covariance = 2 * pixels * in_channels**2 + 3 * mid_channels * in_channels**2
    return with_covariance < 4 * pixels * in_channels * mid_channels


def fused_map_is_kept(mid_channels: int, in_channels: int) -> bool:
    """Whether a fused map that flows nowhere is kept, because making it again would cost as much as ``conv1`` does.

    Args:
        mid_channels (int): ``M``.
        in_channels (int): ``C``.
    """
    return in_channels >= mid_channels


def cheapest_convolution(
        device: torch.device, dtype: torch.dtype, batch: int, size: tuple[int, int], in_channels: int,
        mid_channels: int, out_channels: int, coarse_size: tuple[int, int] | None) -> str:
    """Which way of computing ``conv2`` costs least, counted in products of channels a pixel at the definition's rate.

    ``'direct'`` takes ``M`` channels at each pixel. ``'composed'`` takes ``C + 1`` there and ``M`` at each coarse
    pixel, composes the kernels and spreads products. ``'winograd'`` multiplies once where the definition does 4 times,
    but at less than its rate, and moves every channel and weight about. The constants were measured on CPUs; on
    other devices, and in half precision, which would be rounded more often, the definition is taken.

    Args:
        device (torch.device): Of the maps.
        dtype (torch.dtype): Of the maps.
        batch (int): Number of images.
        size (tuple[int, int]): ``(H, W)`` of the output.
        in_channels (int): ``C``.
        mid_channels (int): ``M``.
        out_channels (int): ``O``.
        coarse_size (tuple[int, int], optional): That of the residual, None where its pixels are not whole blocks.
    """
    if device.type != 'cpu' or dtype.itemsize < 4:
        return 'direct'
    (h, w), products = size, mid_channels * out_channels
    pixels = batch * h * w
    tiled = (h + -h % 4) * (w + -w % 4) / (h * w)
    padded = (h + 2) * (w + 2) / (h * w)
    costs = {
        'direct': MARGIN * products,
        'winograd':
            WINOGRAD_RATE * tiled * products + WINOGRAD_CHANNEL * padded * (mid_channels + out_channels)
            + WINOGRAD_WEIGHT * products / pixels,
    }
    if coarse_size is not None:
        share = coarse_size[0] * coarse_size[1] / (h * w)
        costs['composed'] = (
            out_channels * (in_channels + 1 + mid_channels * share + SPREADING_CHANNELS)
            + COMPOSING * products * in_channels / pixels)
    return min(costs, key=costs.get)


def images_per_chunk(batch: int, bytes_per_image: int, device: torch.device) -> int:
    """How many images are fused at a time, so that what is in between stays in a CPU's cache."""
    return max(1, min(batch, CHUNK_BYTES // max(1, bytes_per_image))) if device.type == 'cpu' else max(1, batch)
