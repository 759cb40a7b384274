"""The review path: every teacher level supervises the student's level and all finer paths into it."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import choice, flag, integers, number
from mmreviewkd.utils.errors import ConfigError, strict_keys

from .addition_fusion import AdditionFusion
from .attention_based_fusion import AttentionBasedFusion
from .fast_fusion import fast_fusion
from .fusion_choice import IMPLEMENTATIONS, fast_dtype
from .fusion_cost import fast_pays

FUSIONS = {'abf': AttentionBasedFusion, 'add': AdditionFusion}


@MODELS.register_module()
@strict_keys
class ReviewConnector(nn.Module):
    """Carry the student's features to the teacher's, reviewing from coarse to fine (paper, Sec. 3.2, Fig. 2d).

    Args:
        in_channels (Sequence[int]): Channels of the student's features, fine to coarse. A distiller infers them.
        out_channels (Sequence[int]): Channels of the teacher's features, fine to coarse. A distiller infers them.
        mid_channels (int, optional): Channels ``M`` of the review path, one number for all levels. Defaults to
            ``min(512, in_channels[-1])``.
        implementation (str): How the levels are computed: ``'plain'``, by the modules that define them; ``'fast'``,
            with the same results for less time and memory, wherever those modules are as they were built; ``'auto'``,
            whichever of the two is cheaper. Defaults to ``'auto'``.
        with_cp (bool): Keep of each level only what flows through it, and compute the level again in the backward
            pass, for whoever has more time than memory. Defaults to False.
        fusion (str): How a level joins what flows in: ``'abf'``, by attention (Sec. 3.3), or ``'add'``, by plain
            addition, which is always computed by its modules. Defaults to ``'abf'``.

    Raises:
        ConfigError: If the numbers of levels differ or are zero, a number of channels is not positive, or the
            implementation or the fusion is unknown, or ``with_cp`` is no boolean.
    """

    def __init__(
            self, in_channels: Sequence[int], out_channels: Sequence[int], mid_channels: int | None = None,
            implementation: str = 'auto', with_cp: bool = False, fusion: str = 'abf') -> None:
        super().__init__()
        check_channels(type(self).__name__, in_channels, out_channels)
        mid_channels = middle_channels(type(self).__name__, in_channels, mid_channels)
        self.mid_channels = mid_channels
        self.fusion = choice(fusion, FUSIONS, 'ReviewConnector: fusion')
        self.implementation = choice(implementation, IMPLEMENTATIONS, 'ReviewConnector: implementation')
        self.with_cp = flag(with_cp, 'ReviewConnector: with_cp')
        coarsest = len(in_channels) - 1
        self.blocks = nn.ModuleList(
            FUSIONS[fusion](i, mid_channels, o) if level < coarsest
            else AttentionBasedFusion(i, mid_channels, o, fuse=False)
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
        for level in reversed(range(len(self.blocks))):
            block, feature, size = self.blocks[level], student_features[level], target_sizes[level]
            dtype = fast_dtype(block, feature, size) if self._wants_fast(feature) else None
            review = block if dtype is None else partial(fast_fusion, block, dtype=dtype, flows_on=level > 0)
            if self.with_cp and torch.is_grad_enabled():
                review = partial(
                    checkpoint, review, use_reentrant=False, preserve_rng_state=False,
                    context_fn=partial(_recomputation, block))
            output, residual = review(feature, residual, size)
            outputs.append(output)
        return tuple(reversed(outputs))

    def _wants_fast(self, feature: Tensor) -> bool:
        pixels = feature.numel() // max(1, feature.shape[1])
        return self.implementation == 'fast' or (
            self.implementation == 'auto' and fast_pays(pixels, self.mid_channels))

    def extra_repr(self) -> str:
        return f'implementation={self.implementation!r}, with_cp={self.with_cp}, fusion={self.fusion!r}'


def _recomputation(block: nn.Module) -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
    """What ``checkpoint`` runs the block in: as it is, and when it runs again, counting no batch twice."""
    return contextlib.nullcontext(), _statistics_kept(block)


@contextlib.contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    norms = [
        norm for norm in block.modules()
        if isinstance(norm, _BatchNorm) and norm.training and norm.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)


def check_channels(name: str, in_channels: Sequence[int], out_channels: Sequence[int]) -> None:
    """Refuse channels that name no levels, or not the same number of them.

    Args:
        name (str): The connector's class, for the message.
        in_channels (Sequence[int]): Channels of the student's features.
        out_channels (Sequence[int]): Channels of the teacher's features.

    Raises:
        ConfigError: If the numbers of levels differ or are zero, or a number of channels is not positive.
    """
    integers(in_channels, f'{name}: in_channels', at_least=1)
    integers(out_channels, f'{name}: out_channels', at_least=1)
    if not in_channels or len(in_channels) != len(out_channels):
        raise ConfigError(
            f'{name}: in_channels and out_channels must name the same levels, fine to coarse, but are '
            f'{list(in_channels)} and {list(out_channels)}')


def middle_channels(name: str, in_channels: Sequence[int], mid_channels: int | None) -> int:
    """Channels ``M`` of a path, where none are given ``min(512, in_channels[-1])``.

    Args:
        name (str): The connector's class, for the message.
        in_channels (Sequence[int]): Channels of the student's features.
        mid_channels (int, optional): What the config says.

    Raises:
        ConfigError: If they are not positive.
    """
    mid_channels = min(512, in_channels[-1]) if mid_channels is None else mid_channels
    return number(mid_channels, f'{name}: mid_channels', at_least=1, integer=True)


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
