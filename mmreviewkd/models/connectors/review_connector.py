"""The review path: every teacher level supervises the student's level and all finer paths into it."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import ConfigError, strict_keys

from .attention_based_fusion import AttentionBasedFusion


@MODELS.register_module()
@strict_keys
class ReviewConnector(nn.Module):
    """Carry the student's features to the teacher's, reviewing from coarse to fine (paper, Sec. 3.2, Fig. 2d).

    Args:
        in_channels (Sequence[int]): Channels of the student's features, fine to coarse. A distiller infers them.
        out_channels (Sequence[int]): Channels of the teacher's features, fine to coarse. A distiller infers them.
        mid_channels (int, optional): Channels ``M`` of the review path, one number for all levels. Defaults to
            ``min(512, in_channels[-1])``.

    Raises:
        ConfigError: If the numbers of levels differ or are zero, or a number of channels is not positive.
    """

    def __init__(
            self, in_channels: Sequence[int], out_channels: Sequence[int], mid_channels: int | None = None) -> None:
        super().__init__()
        check_channels(type(self).__name__, in_channels, out_channels)
        mid_channels = min(512, in_channels[-1]) if mid_channels is None else mid_channels
        if mid_channels < 1:
            raise ConfigError(f'ReviewConnector: mid_channels must be positive, but is {mid_channels}')
        coarsest = len(in_channels) - 1
        self.blocks = nn.ModuleList(
            AttentionBasedFusion(i, mid_channels, o, fuse=level < coarsest)
            for level, (i, o) in enumerate(zip(in_channels, out_channels)))

    def forward(
            self, student_features: Sequence[Tensor], target_sizes: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
        """Review all levels.

        Args:
            student_features (Sequence[Tensor]): ``[N, C_k, h_k, w_k]``, fine to coarse.
            target_sizes (Sequence[tuple[int, int]]): ``(H_k, W_k)`` of the teacher's features.

        Returns:
            tuple[Tensor, ...]: ``[N, O_k, H_k, W_k]``, fine to coarse.

        Raises:
            ValueError: If the number of features or sizes is not that of the levels.
        """
        check_levels(self.blocks, student_features, target_sizes)
        outputs, residual = [], None
        for block, feature, size in reversed([*zip(self.blocks, student_features, target_sizes)]):
            output, residual = block(feature, residual, size)
            outputs.append(output)
        return tuple(reversed(outputs))


def check_channels(name: str, in_channels: Sequence[int], out_channels: Sequence[int]) -> None:
    """Refuse channels that name no levels, or not the same number of them.

    Args:
        name (str): The connector's class, for the message.
        in_channels (Sequence[int]): Channels of the student's features.
        out_channels (Sequence[int]): Channels of the teacher's features.

    Raises:
        ConfigError: If the numbers of levels differ or are zero, or a number of channels is not positive.
    """
    if not in_channels or len(in_channels) != len(out_channels):
        raise ConfigError(
            f'{name}: in_channels and out_channels must name the same levels, fine to coarse, but are '
            f'{list(in_channels)} and {list(out_channels)}')
    if min(*in_channels, *out_channels) < 1:
        raise ConfigError(
            f'{name}: channels must be positive, but are {list(in_channels)} and {list(out_channels)}')


def check_levels(blocks: Sequence[nn.Module], *per_level: Sequence) -> None:
    """Refuse inputs that are not one a level.

    Args:
        blocks (Sequence[nn.Module]): The connector's blocks, one a level.
        *per_level (Sequence): What must have as many entries.

    Raises:
        ValueError: If one has another number of entries.
    """
    for entries in per_level:
        if len(entries) != len(blocks):
            raise ValueError(f'the connector has {len(blocks)} levels, but was given {len(entries)}')
