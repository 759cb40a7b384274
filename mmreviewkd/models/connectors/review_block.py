"""Base class of the levels of a review path."""

from torch import Tensor, nn

from mmreviewkd.ops import resize_nearest
from mmreviewkd.utils.checks import choice, number

KERNEL_SIZES = (1, 3)


def check_kernel_size(kernel_size: int, where: str) -> int:
    """Check the kernel size, in pixels, of the last convolution of a level.

    Raises:
        ConfigError: If it is neither 1 nor 3.
    """
    where = f'{where}: kernel_size'
    return choice(number(kernel_size, where, integer=True), KERNEL_SIZES, where)


class ReviewBlock(nn.Module):
    """One level of a review path: 1x1 convolution to ``M`` channels, fusion, resize, convolution to ``O`` channels.

    Subclasses fuse in :meth:`fuse`, and end their ``__init__`` with :meth:`initialize_convolutions`.

    Args:
        in_channels (int): Channels ``C`` of the student's feature.
        mid_channels (int): Channels ``M`` of the review path.
        out_channels (int): Channels ``O`` of the teacher's feature.
        kernel_size (int): Side of the last convolution, 3 as in the paper or 1. Defaults to 3.

    Raises:
        ConfigError: If a number of channels is not a positive integer, or the kernel has another size.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        for key, value in dict(in_channels=in_channels, mid_channels=mid_channels, out_channels=out_channels).items():
            number(value, f'{type(self).__name__}: {key}', at_least=1, integer=True)
        check_kernel_size(kernel_size, type(self).__name__)
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, 1, bias=False), nn.BatchNorm2d(mid_channels))
        self.conv2 = nn.Sequential(
            nn.Conv2d(mid_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels))

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
