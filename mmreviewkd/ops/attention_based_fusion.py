"""Definition of attention-based fusion (ABF)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_nearest(feature: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps by nearest neighbour.

    Args:
        feature (Tensor): ``[N, C, h, w]``.
        size (tuple[int, int]): ``(H, W)``, in pixels.

    Returns:
        Tensor: ``[N, C, H, W]``; ``feature`` itself if it has this size.
    """
    return feature if feature.shape[-2:] == tuple(size) else F.interpolate(feature, size=size, mode='nearest')


def attention_based_fusion(feature: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Fuse a level's map with the coarser residual, weighted by two attention maps (paper, Sec. 3.3, Fig. 3a).

    With ``x`` the level's map and ``u`` the residual, resized to the size of ``x``::

        z0, z1 = sigmoid(conv1x1([x ; u]))
        fused  = z0 * x + z1 * u

    Args:
        feature (Tensor): The level's map ``x``, ``[N, M, h, w]``.
        residual (Tensor): The fused map of the next coarser level, ``[N, M, h', w']``.
        weight (Tensor): Weight of the 1x1 convolution, ``[2, 2M, 1, 1]``.
        bias (Tensor): Bias of the 1x1 convolution, ``[2]``.

    Returns:
        Tensor: The fused map, ``[N, M, h, w]``.
    """
    residual = resize_nearest(residual, feature.shape[-2:])
    attention = fusion_attention(feature, residual, weight, bias)
    return feature * attention[:, :1] + residual * attention[:, 1:]


def fusion_attention(feature: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The two attention maps ``z0`` and ``z1`` of :func:`attention_based_fusion`, which has the same arguments.

    Returns:
        Tensor: ``[N, 2, h, w]``, between 0 and 1: the weight of the level's map, and that of the residual.
    """
    residual = resize_nearest(residual, feature.shape[-2:])
    return F.conv2d(torch.cat([feature, residual], dim=1), weight, bias).sigmoid()
