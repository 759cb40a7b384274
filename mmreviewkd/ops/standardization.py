"""Standardization of feature maps, channel by channel."""

import torch.nn.functional as F
from torch import Tensor

# Added to the variance, so that a constant channel becomes 0.
SMALLEST_VARIANCE = 1e-12


def standardized(feature: Tensor) -> Tensor:
    """Standardize each channel to mean 0 and variance 1 over all images and pixels of the batch.

    A constant channel becomes 0.

    Args:
        feature (Tensor): ``[N, C, H, W]``.

    Returns:
        Tensor: ``[N, C, H, W]``.

    Raises:
        ValueError: If a channel has a single value.
    """
    check_values(feature)
    return F.batch_norm(feature, None, None, training=True, eps=SMALLEST_VARIANCE)


def check_values(feature: Tensor) -> None:
    """Check that each channel has more than one value.

    Args:
        feature (Tensor): ``[N, C, H, W]``.

    Raises:
        ValueError: If a channel has a single value.
    """
    if feature[:, :1].numel() < 2:
        raise ValueError(
            f'Expected more than 1 value per channel to correlate, got a map of shape {tuple(feature.shape)}')
