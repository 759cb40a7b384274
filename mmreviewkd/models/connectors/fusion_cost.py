"""Which of several exact ways to compute a level of the review path is the cheapest, judged by shapes alone."""

import torch
from torch import Tensor

# Fits the last cache of a small CPU, and is below the size from which an allocator asks the system every time.
CHUNK_BYTES = 12 * 2**20
# What spreading products over blocks costs, in channels of a 3x3 convolution.
SPREADING_CHANNELS = 32


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


def composition_pays(feature: Tensor, residual: Tensor, dtype: torch.dtype) -> bool:
    """Whether ``conv2`` is cheaper composed with what comes before it than applied to the fused map.

    It then takes ``C + 1`` channels at the size of the feature and ``M`` at that of the residual, where it took ``M``
    channels at the size of the feature; spreading the coarse products costs as much as some further channels. Only a
    CPU's multiply-adds are so dear, and half precision would be rounded once more.

    Args:
        feature (Tensor): ``[N, C, h, w]``.
        residual (Tensor): ``[N, M, h', w']``.
        dtype (torch.dtype): Of the maps.
    """
    mid_channels = residual.shape[1]
    coarse_share = residual[0, 0].numel() / feature[0, 0].numel()
    channels = feature.shape[1] + 1 + mid_channels * coarse_share + SPREADING_CHANNELS
    return feature.device.type == 'cpu' and dtype.itemsize >= 4 and channels < mid_channels


def images_per_chunk(batch: int, bytes_per_image: int, device: torch.device) -> int:
    """How many images are fused at a time, so that what is in between stays in a CPU's cache."""
    return max(1, min(batch, CHUNK_BYTES // max(1, bytes_per_image))) if device.type == 'cpu' else max(1, batch)
