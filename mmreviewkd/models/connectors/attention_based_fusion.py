"""Attention based fusion (ABF), the block of the review path."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import flag, number
from mmreviewkd.utils.errors import strict_keys


def resize_nearest(feature: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour resize of ``[N, C, h, w]`` to ``[N, C, *size]``; the same tensor where the sizes agree."""
    return feature if feature.shape[-2:] == tuple(size) else F.interpolate(feature, size=size, mode='nearest')


def attention_based_fusion(feature: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Mix a level with the review of all coarser levels, by attention at each pixel (paper, Sec. 3.3, Fig. 3a).

    Args:
        feature (Tensor): The level's own map, ``[N, M, h, w]``.
        residual (Tensor): What flows in from the next coarser level, ``[N, M, h', w']``; resized to ``h x w``.
        weight (Tensor): ``[2, 2M, 1, 1]``, the 1x1 convolution that gives the two attention maps.
        bias (Tensor): ``[2]``.

    Returns:
        Tensor: The fused map, ``[N, M, h, w]``.
    """
    residual = resize_nearest(residual, feature.shape[-2:])
    attention = F.conv2d(torch.cat([feature, residual], dim=1), weight, bias).sigmoid()
    return feature * attention[:, :1] + residual * attention[:, 1:]


@MODELS.register_module()
@strict_keys
class AttentionBasedFusion(nn.Module):
    """One level of the review path, see :func:`attention_based_fusion`.

    Args:
        in_channels (int): Channels ``C`` of the student's feature.
        mid_channels (int): Channels ``M`` of the review path.
        out_channels (int): Channels ``O`` of the teacher's feature.
        fuse (bool): False at the coarsest level, where nothing flows in. Defaults to True.

    Raises:
        ConfigError: If a number of channels is not a positive integer, or ``fuse`` is no boolean.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, fuse: bool = True) -> None:
        super().__init__()
        for key, value in dict(in_channels=in_channels, mid_channels=mid_channels, out_channels=out_channels).items():
            number(value, f'{type(self).__name__}: {key}', at_least=1, integer=True)
        flag(fuse, f'{type(self).__name__}: fuse')
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, 1, bias=False), nn.BatchNorm2d(mid_channels))
        self.conv2 = nn.Sequential(
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels))
        self.att_conv = nn.Sequential(nn.Conv2d(2 * mid_channels, 2, 1), nn.Sigmoid()) if fuse else None
        nn.init.kaiming_uniform_(self.conv1[0].weight, a=1)
        nn.init.kaiming_uniform_(self.conv2[0].weight, a=1)

    def forward(
            self, feature: Tensor, residual: Tensor | None = None,
            target_size: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
        """Fuse one level.

        Args:
            feature (Tensor): The student's feature, ``[N, C, h, w]``.
            residual (Tensor, optional): What flows in from the next coarser level, ``[N, M, h', w']``.
            target_size (tuple[int, int], optional): ``(H, W)`` of the teacher's feature. Defaults to ``(h, w)``.

        Returns:
            tuple[Tensor, Tensor]: What is compared with the teacher's feature, ``[N, O, H, W]``, and what flows on to
            the next finer level, ``[N, M, H, W]``.
        """
        fused = self.fuse(self.conv1(feature), residual)
        fused = resize_nearest(fused, feature.shape[-2:] if target_size is None else target_size)
        return self.conv2(fused), fused

    def fuse(self, feature: Tensor, residual: Tensor | None) -> Tensor:
        """Join the level's own map ``[N, M, h, w]`` with what flows in, ``[N, M, h', w']``, to ``[N, M, h, w]``."""
        if self.att_conv is None:
            return feature
        return attention_based_fusion(feature, residual, self.att_conv[0].weight, self.att_conv[0].bias)
