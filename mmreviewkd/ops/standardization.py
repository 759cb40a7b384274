"""Standardization of feature maps, channel by channel."""

import torch.nn.functional as F
from torch import Tensor

# The variance below which a channel counts as constant.
_SMALLEST_VARIANCE = 1e-12


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
    return F.batch_norm(feature, None, None, training=True, eps=_SMALLEST_VARIANCE)
