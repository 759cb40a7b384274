"""Base class of the levels of a review path."""

from torch import Tensor, nn

from mmreviewkd.ops import resize_nearest
from mmreviewkd.utils.checks import number


class ReviewBlock(nn.Module):
    """One level of a review path: 1x1 convolution to ``M`` channels, fusion, resize, 3x3 convolution to ``O`` channels.

    Subclasses fuse in :meth:`fuse`, and end their ``__init__`` with :meth:`initialize_convolutions`.

    Args:
        in_channels (int): Channels ``C`` of the student's feature.
        mid_channels (int): Channels ``M`` of the review path.
        out_channels (int): Channels ``O`` of the teacher's feature.

    Raises:
        ConfigError: If a number of channels is not a positive integer.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int) -> None:
        super().__init__()
        for key, value in dict(in_channels=in_channels, mid_channels=mid_channels, out_channels=out_channels).items():
            number(value, f'{type(self).__name__}: {key}', at_least=1, integer=True)
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, 1, bias=False), nn.BatchNorm2d(mid_channels))
        self.conv2 = nn.Sequential(
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels))

    def initialize_convolutions(self) -> None:
        """Draw the weights of both convolutions from the Kaiming uniform distribution with ``a=1``."""
        nn.init.kaiming_uniform_(self.conv1[0].weight, a=1)
        nn.init.kaiming_uniform_(self.conv2[0].weight, a=1)

    def forward(
            self, feature: Tensor, residual: Tensor | None = None,
            target_size: tuple[int, int] | None = None) -> tuple[Tensor, Tensor]:
        """Compute one level.

        Args:
            feature (Tensor): The student's feature, ``[N, C, h, w]``.
            residual (Tensor, optional): The fused map of the next coarser level, ``[N, M, h', w']``.
            target_size (tuple[int, int], optional): ``(H, W)`` of the teacher's feature. Defaults to ``(h, w)``.

        Returns:
            tuple[Tensor, Tensor]: The output that is compared with the teacher's feature, ``[N, O, H, W]``, and the
            fused map, which is the residual of the next finer level, ``[N, M, H, W]``.
        """
        fused = self.fuse(self.conv1(feature), residual)
        fused = resize_nearest(fused, feature.shape[-2:] if target_size is None else target_size)
        return self.conv2(fused), fused

    def fuse(self, feature: Tensor, residual: Tensor | None) -> Tensor:
        """Fuse the level's map ``[N, M, h, w]`` with the residual ``[N, M, h', w']`` to ``[N, M, h, w]``."""
        raise NotImplementedError
