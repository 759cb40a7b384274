"""Reference implementation of Knowledge Review as its paper and published code write it.

It shares no code with the rest of the package, so that comparing the two compares two independent programs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TextbookFusion(nn.Module):
    """One level of the review path: two convolutions, and attention over the concatenated maps (paper, Fig. 3a).

    Args:
        in_channels (int): Channels ``C`` of the student's feature.
        mid_channels (int): Channels ``M`` of the review path.
        out_channels (int): Channels ``O`` of the teacher's feature.
        fuse (bool): Whether the level has a coarser residual; False at the coarsest level.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, fuse: bool) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(in_channels, mid_channels, 1, bias=False), nn.BatchNorm2d(mid_channels))
        self.conv2 = nn.Sequential(
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels))
        self.att_conv = nn.Sequential(nn.Conv2d(2 * mid_channels, 2, 1), nn.Sigmoid()) if fuse else None

    def forward(self, x: Tensor, y: Tensor | None, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Fuse a level.

        Args:
            x (Tensor): The student's feature, ``[N, C, h, w]``.
            y (Tensor, optional): The coarser residual, ``[N, M, h', w']``.
            size (tuple[int, int]): ``(H, W)`` of the teacher's feature.

        Returns:
            tuple[Tensor, Tensor]: The output ``[N, O, H, W]`` and the fused map ``[N, M, H, W]``.
        """
        n, _, h, w = x.shape
        x = self.conv1(x)
        if self.att_conv is not None:
            y = F.interpolate(y, (h, w), mode='nearest')
            z = self.att_conv(torch.cat([x, y], dim=1))
            x = x * z[:, 0].view(n, 1, h, w) + y * z[:, 1].view(n, 1, h, w)
        if x.shape[-2:] != tuple(size):
            x = F.interpolate(x, tuple(size), mode='nearest')
        return self.conv2(x), x


class TextbookConnector(nn.Module):
    """The review path, from the coarsest level to the finest (paper, Fig. 2d).

    Its ``state_dict`` has the names of :class:`~mmreviewkd.models.ReviewConnector`.

    Args:
        in_channels (list[int]): Channels of the student's features, fine to coarse.
        out_channels (list[int]): Channels of the teacher's features, fine to coarse.
        mid_channels (int): Channels of the review path.
    """

    def __init__(self, in_channels: list[int], out_channels: list[int], mid_channels: int) -> None:
        super().__init__()
        last = len(in_channels) - 1
        self.blocks = nn.ModuleList(
            TextbookFusion(c, mid_channels, o, k < last) for k, (c, o) in enumerate(zip(in_channels, out_channels)))

    def forward(self, features: list[Tensor], sizes: list[tuple[int, int]]) -> list[Tensor]:
        """``[N, O_k, *sizes[k]]`` for features ``[N, C_k, h_k, w_k]``, fine to coarse."""
        outputs, residual = [], None
        for block, feature, size in reversed([*zip(self.blocks, features, sizes)]):
            output, residual = block(feature, residual, size)
            outputs.insert(0, output)
        return outputs


class TextbookLoss(nn.Module):
    """The hierarchical context loss, with both maps pooled at every scale (paper, Sec. 3.3, Fig. 3b).

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.0.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, students: list[Tensor], teachers: list[Tensor]) -> Tensor:
        """The weighted loss, a scalar, of maps ``[N, O_k, H_k, W_k]``."""
        total = 0.0
        for student, teacher in zip(students, teachers):
            loss, weight, weights = F.mse_loss(student, teacher), 1.0, 1.0
            for size in (4, 2, 1):
                if size >= student.shape[2]:
                    continue
                weight /= 2
                pooled = [F.adaptive_avg_pool2d(f, (size, size)) for f in (student, teacher)]
                loss = loss + weight * F.mse_loss(*pooled)
                weights += weight
            total = total + loss / weights
        return self.loss_weight * total
