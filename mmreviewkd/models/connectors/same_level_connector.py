"""The regressors of same-level distillation, the baseline that sends no knowledge across stages."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import strict_keys

from .attention_based_fusion import resize_nearest
from .review_connector import check_channels, check_levels


@MODELS.register_module()
@strict_keys
class SameLevelConnector(nn.Module):
    """Carry each student level to the teacher's channels and size by a 1x1 convolution (FitNets, ICLR 2015).

    Args:
        in_channels (Sequence[int]): Channels of the student's features. A distiller infers them.
        out_channels (Sequence[int]): Channels of the teacher's features. A distiller infers them.

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
        """Map ``[N, C_k, h_k, w_k]`` to ``[N, O_k, H_k, W_k]``, level by level.

        Raises:
            ValueError: If the number of features or sizes is not that of the levels.
        """
        check_levels(self.blocks, student_features, target_sizes)
        return tuple(
            resize_nearest(block(feature), size)
            for block, feature, size in zip(self.blocks, student_features, target_sizes))
