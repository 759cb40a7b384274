"""Which of several exact ways to compute a level of the review path is the cheapest, judged by shapes alone."""

import torch

# Fits the last cache of a small CPU, and is below the size from which an allocator asks the system every time.
CHUNK_BYTES = 12 * 2**20


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


def images_per_chunk(batch: int, bytes_per_image: int, device: torch.device) -> int:
    """How many images are fused at a time, so that what is in between stays in a CPU's cache."""
    return max(1, min(batch, CHUNK_BYTES // max(1, bytes_per_image))) if device.type == 'cpu' else max(1, batch)
