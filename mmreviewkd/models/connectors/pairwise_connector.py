"""Cross-stage paths without the residual framework, with a separate transform for each pair of levels."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.errors import ConfigError, strict_keys

from .attention_based_fusion import AttentionBasedFusion
from .base_connector import BaseConnector
from .checks import check_channels, check_levels, resolve_mid_channels


@MODELS.register_module()
@strict_keys
class PairwiseConnector(BaseConnector):
    """Maps student levels to teacher levels, with a separate transform for each pair (paper, Sec. 3.1).

    This is Knowledge Review without the residual framework (Sec. 3.2): by default every student level is distilled from
    the teacher's level of the same index and all finer ones. The transform is that of a level without residual: 1x1
    convolution to ``M`` channels, nearest resize, 3x3 convolution, each convolution with its normalization.

    Args:
        in_channels (Sequence[int]): Channels of the student's features, fine to coarse. A distiller infers them.
        out_channels (Sequence[int]): Channels of the teacher's features, fine to coarse. A distiller infers them.
        mid_channels (int, optional): Channels ``M``, one number for all pairs. Defaults to
            ``min(512, in_channels[-1])``.
        pairs (Sequence[tuple[int, int]], optional): ``(student level, teacher level)`` each, counted from 0 at the
            finest. Defaults to all pairs with ``teacher level <= student level``.

    Raises:
        ConfigError: If the numbers of levels differ or are zero, a number of channels is not positive, or ``pairs``
            is empty, repeats a pair or names an unknown level.
    """

    def __init__(
            self, in_channels: Sequence[int], out_channels: Sequence[int], mid_channels: int | None = None,
            pairs: Sequence[tuple[int, int]] | None = None) -> None:
        super().__init__()
        check_channels(type(self).__name__, in_channels, out_channels)
        mid_channels = resolve_mid_channels(type(self).__name__, in_channels, mid_channels)
        self.levels = len(in_channels)
        self.pairs = _check_pairs(pairs, self.levels)
        self.blocks = nn.ModuleList(
            AttentionBasedFusion(in_channels[i], mid_channels, out_channels[j], fuse=False) for i, j in self.pairs)

    def forward(
            self, student_features: Sequence[Tensor], target_sizes: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
        """Transform the student's level of each pair.

        Args:
            student_features (Sequence[Tensor]): ``[N, C_k, h_k, w_k]`` per level, fine to coarse.
            target_sizes (Sequence[tuple[int, int]]): ``(H_k, W_k)`` of the teacher's features.

        Returns:
            tuple[Tensor, ...]: ``[N, O_j, H_j, W_j]`` for each pair ``(i, j)``.

        Raises:
            ValueError: If the number of features or sizes is not that of the levels.
        """
        check_levels(self.levels, student_features, target_sizes)
        return tuple(
            block(student_features[i], target_size=target_sizes[j])[0]
            for block, (i, j) in zip(self.blocks, self.pairs))

    def targets(self, teacher_features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The teacher's feature ``[N, O_j, H_j, W_j]`` of each pair ``(i, j)``."""
        return tuple(teacher_features[j] for _, j in self.pairs)

    def extra_repr(self) -> str:
        """The pairs, for ``print(module)``."""
        return f'pairs={list(self.pairs)}'


def _check_pairs(pairs: Sequence[tuple[int, int]] | None, levels: int) -> tuple[tuple[int, int], ...]:
    if pairs is None:
        return tuple((i, j) for i in range(levels) for j in range(i + 1))
    try:
        found = tuple((i, j) for i, j in pairs)
    except (TypeError, ValueError):
        found = ()
    known = all(type(level) is int and 0 <= level < levels for pair in found for level in pair)
    if not found or not known or len(set(found)) < len(found):
        raise ConfigError(
            'PairwiseConnector: pairs must be different (student level, teacher level) of levels 0 to '
            f'{levels - 1}, but is {pairs!r}')
    return found
