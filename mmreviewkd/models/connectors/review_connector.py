"""The review path: each teacher level supervises the student's level and, through the residual, all coarser ones."""

from collections.abc import Sequence
from functools import partial

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmreviewkd.ops.review_level import (
    IMPLEMENTATIONS,
    PREFERENCES,
    LevelPlan,
    LevelShape,
    Unnormalized,
    plan_level,
    timed_ways,
)
from mmreviewkd.registry import MODELS
from mmreviewkd.utils.checks import choice, flag
from mmreviewkd.utils.compiling import is_compiling
from mmreviewkd.utils.errors import strict_keys

from .addition_fusion import AdditionFusion
from .attention_based_fusion import AttentionBasedFusion
from .base_connector import BaseConnector
from .checks import check_channels, check_levels, resolve_mid_channels
from .fast_level import fast_level, map_dtype, obstacle, plain_level, trial
from .measured_choice import Candidate, MeasuredChoice
from .recomputation import checkpointed
from .review_block import check_kernel_size

FUSIONS = {'abf': AttentionBasedFusion, 'add': AdditionFusion}


@MODELS.register_module()
@strict_keys
class ReviewConnector(BaseConnector):
    """Maps the student's features to the teacher's, reviewing from coarse to fine (paper, Sec. 3.2, Fig. 2d).

    Args:
        in_channels (Sequence[int]): Channels of the student's features, fine to coarse. A distiller infers them.
        out_channels (Sequence[int]): Channels of the teacher's features, fine to coarse. A distiller infers them.
        mid_channels (int, optional): Channels ``M`` of the review path, one number for all levels. Defaults to
            ``min(512, in_channels[-1])``.
        implementation (str): How the levels are computed: ``'plain'``, by the modules that define them; ``'fast'``,
            with the same results in less time and memory, for all levels whose modules are as they were built;
            ``'auto'``, by whichever of the two is cheaper: on CPUs by a model of their costs, which :meth:`plans`
            shows, on other devices by times measured in the first training steps. The choice is logged once per
            level. Defaults to ``'auto'``.
        prefer (str): What ``'auto'`` saves: ``'time'``, or ``'memory'``, for which all levels are computed the fast way
            that can be. Defaults to ``'time'``.
        with_cp (bool): Whether to keep only the inputs of each level and compute the level again in the backward pass,
            which trades time for memory. Defaults to False.
        fusion (str): How a level fuses the residual: ``'abf'``, by attention (Sec. 3.3), or ``'add'``, by plain
            addition, which is always computed by its modules. Defaults to ``'abf'``.
        kernel_size (int): Side of the convolution to the teacher's channels, 3 as in the paper, or 1, which takes a
            ninth of its operations. Defaults to 3.

    Raises:
        ConfigError: If the numbers of levels differ or are zero, a number of channels is not positive, or the
            implementation, the preference, the fusion or the size of the kernel is unknown.
    """

    def __init__(
            self, in_channels: Sequence[int], out_channels: Sequence[int], mid_channels: int | None = None,
            implementation: str = 'auto', with_cp: bool = False, fusion: str = 'abf', prefer: str = 'time',
            kernel_size: int = 3) -> None:
        super().__init__()
        check_channels(type(self).__name__, in_channels, out_channels)
        mid_channels = resolve_mid_channels(type(self).__name__, in_channels, mid_channels)
        self.in_channels = tuple(in_channels)
        self.out_channels = tuple(out_channels)
        self.mid_channels = mid_channels
        self.fusion = choice(fusion, FUSIONS, 'ReviewConnector: fusion')
        self.implementation = choice(implementation, IMPLEMENTATIONS, 'ReviewConnector: implementation')
        self.prefer = choice(prefer, PREFERENCES, 'ReviewConnector: prefer')
        self.with_cp = flag(with_cp, 'ReviewConnector: with_cp')
        self.kernel_size = check_kernel_size(kernel_size, 'ReviewConnector')
        self.measured_choice = MeasuredChoice()
        self._logged_levels: set[int] = set()
        coarsest = len(in_channels) - 1
        self.blocks = nn.ModuleList(
            FUSIONS[fusion](i, mid_channels, o, kernel_size=kernel_size) if level < coarsest
            else AttentionBasedFusion(i, mid_channels, o, fuse=False, kernel_size=kernel_size)
            for level, (i, o) in enumerate(zip(in_channels, out_channels)))

    def forward(
            self, student_features: Sequence[Tensor], target_sizes: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
        """Compute all levels, coarse to fine.

        Args:
            student_features (Sequence[Tensor]): ``[N, C_k, h_k, w_k]`` per level, fine to coarse.
            target_sizes (Sequence[tuple[int, int]]): ``(H_k, W_k)`` of the teacher's features.

        Returns:
            tuple[Tensor, ...]: ``[N, O_k, H_k, W_k]`` per level, fine to coarse.

        Raises:
            ValueError: If the number of features or sizes is not that of the levels.
        """
        return tuple(
            level.normalized() if isinstance(level, Unnormalized) else level
            for level in self.levels(student_features, target_sizes))

    def levels(
            self, student_features: Sequence[Tensor],
            target_sizes: Sequence[tuple[int, int]]) -> tuple[Tensor | Unnormalized, ...]:
        """Compute all levels like :meth:`forward`, but leave the last normalization of those on the fast path undone.

        A loss that normalizes them itself, such as HCL, need not keep them for the backward pass.

        Args:
            student_features (Sequence[Tensor]): ``[N, C_k, h_k, w_k]`` per level, fine to coarse.
            target_sizes (Sequence[tuple[int, int]]): ``(H_k, W_k)`` of the teacher's features.

        Returns:
            tuple[Tensor | Unnormalized, ...]: ``[N, O_k, H_k, W_k]`` per level, fine to coarse.

        Raises:
            ValueError: If the number of features or sizes is not that of the levels.
        """
        check_levels(len(self.blocks), student_features, target_sizes)
        sizes, outputs, residual = [tuple(size) for size in target_sizes], [], None
        plans = None if is_compiling() else self._chosen_plans(student_features, sizes)
        for level in reversed(range(len(self.blocks))):
            block, feature, size = self.blocks[level], student_features[level], sizes[level]
            compute = block if plans is None else self._computation(block, plans[level])
            if self.with_cp and torch.is_grad_enabled():
                compute = checkpointed(compute, block)
            output, residual = compute(feature, residual, size)
            outputs.append(output)
        return tuple(reversed(outputs))

    def plans(
            self, feature_shapes: Sequence[tuple[int, ...]],
            target_sizes: Sequence[tuple[int, int]]) -> tuple[LevelPlan, ...]:
        """Return how each level would be computed, and why; ``print(plan)`` shows it in one line.

        Args:
            feature_shapes (Sequence[tuple[int, ...]]): ``[N, C_k, h_k, w_k]`` of the student's features, fine to
                coarse, taken to be of the parameters' dtype and on their device.
            target_sizes (Sequence[tuple[int, int]]): ``(H_k, W_k)`` of the teacher's features.

        Returns:
            tuple[LevelPlan, ...]: One plan per level, fine to coarse.

        Raises:
            ValueError: If the number of shapes or sizes is not that of the levels.
        """
        check_levels(len(self.blocks), feature_shapes, target_sizes)
        weight = self.blocks[0].conv1[0].weight
        sizes = [tuple(size) for size in target_sizes]
        return tuple(
            self._plan(level, tuple(shape), sizes, weight.dtype, weight.device)
            for level, shape in enumerate(feature_shapes))

    def _computation(self, block: nn.Module, plan: LevelPlan) -> nn.Module | partial:
        if plan.way == 'fast':
            return partial(fast_level, block, plan=plan)
        chosen = self.implementation == 'auto' and plan.dtype is not None
        return partial(plain_level, block) if chosen else block

    def _chosen_plans(self, features: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[LevelPlan]:
        plans = [
            self._plan(level, tuple(feature.shape), sizes, feature.dtype, feature.device)
            for level, feature in enumerate(features)]
        device = features[0].device
        if self.implementation == 'auto' and self.prefer == 'time' and self.measured_choice.applies(device):
            candidates = {
                level: self._candidate(level, plan, features[level])
                for level, plan in enumerate(plans) if plan.dtype is not None}
            chosen = self.measured_choice.choose(
                [*candidates.values()], self.training and torch.is_grad_enabled())
            for level, plan in zip(candidates, chosen):
                plans[level] = plan
        for level, plan in reversed([*enumerate(plans)]):
            if level not in self._logged_levels:
                self._logged_levels.add(level)
                print_log(f'Review path, level {level + 1} of {len(self.blocks)}, fine to coarse: {plan}', 'current')
        return plans

    def _candidate(self, level: int, plan: LevelPlan, feature: Tensor) -> Candidate:
        shape, layout = plan.shape, feature.is_contiguous(memory_format=torch.channels_last)
        kind = (
            f'{feature.device.type} {plan.dtype} {"channels_last" if layout else "NCHW"} {shape.in_channels} '
            f'{shape.mid_channels} {shape.out_channels} {shape.kernel_size} {shape.size != shape.target_size} '
            f'{shape.coarse_size and tuple(f / c for f, c in zip(shape.size, shape.coarse_size))} {shape.is_finest}')
        return Candidate(
            plan, kind, shape.pixels, feature.device, timed_ways(shape, feature.device, plan.dtype),
            partial(trial, self.blocks[level], feature))

    def _plan(
            self, level: int, shape: tuple[int, ...], sizes: Sequence[tuple[int, int]], dtype: torch.dtype,
            device: torch.device) -> LevelPlan:
        block, fuses = self.blocks[level], level < len(self.blocks) - 1
        level_shape = LevelShape(
            shape[0], shape[1], self.mid_channels, self.out_channels[level], shape[2:], sizes[level],
            sizes[level + 1] if fuses else None, is_finest=level == 0, kernel_size=self.kernel_size)
        if self.implementation == 'plain':
            return plan_level(level_shape, device, None, 'plain')
        why_not, maps = obstacle(block), map_dtype(block, dtype, device)
        if why_not is None and maps is None:
            why_not = f'a feature of {dtype} on {device} does not fit the parameters'
        return plan_level(level_shape, device, maps, self.implementation, why_not, self.prefer)

    def extra_repr(self) -> str:
        """The settings, for ``print(module)``."""
        return (
            f'implementation={self.implementation!r}, prefer={self.prefer!r}, with_cp={self.with_cp}, '
            f'fusion={self.fusion!r}, kernel_size={self.kernel_size}')
