"""The connector of same-level distillation, a baseline without cross-stage paths."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmreviewkd.ops import resize_nearest
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import strict_keys

from .base_connector import BaseConnector
from .checks import check_channels, check_levels


@MODELS.register_module()
@strict_keys
class SameLevelConnector(BaseConnector):
    """Maps each student level to the teacher's channels and size by a 1x1 convolution (FitNets, ICLR 2015).

    Args:
        in_channels (Sequence[int]): Channels of the student's features, fine to coarse. A distiller infers them.
        out_channels (Sequence[int]): Channels of the teacher's features, fine to coarse. A distiller infers them.

    Raises:
        ConfigError: If the numbers of levels differ or are zero, or a number of channels is not positive.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: Sequence[int]) -> None:
        super().__init__()
        check_channels(type(self).__name__, in_channels, out_channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o))
            for i, o in zip(in_channels, out_channels))
        for block in self.blocks:
            nn.init.kaiming_uniform_(block[0].weight, a=1)

    def forward(
            self, student_features: Sequence[Tensor], target_sizes: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
        """Map each level.

        Args:
            student_features (Sequence[Tensor]): ``[N, C_k, h_k, w_k]`` per level, fine to coarse.
            target_sizes (Sequence[tuple[int, int]]): ``(H_k, W_k)`` of the teacher's features.

        Returns:
            tuple[Tensor, ...]: ``[N, O_k, H_k, W_k]`` per level, fine to coarse.

        Raises:
            ValueError: If the number of features or sizes is not that of the levels.
        """
        check_levels(len(self.blocks), student_features, target_sizes)
        return tuple(
            resize_nearest(block(feature), size)
            for block, feature, size in zip(self.blocks, student_features, target_sizes))
