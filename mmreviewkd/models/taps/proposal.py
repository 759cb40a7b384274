"""Propose the taps of a pair of models: levels by stride, matched between student and teacher."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from mmreviewkd.utils.errors import ConfigError, TapError

from .gradient_reach import without_gradient
from .survey import Feature, Survey, survey

# A model whose blocks all have one stride (a plain transformer) is tapped at this many depths, evenly spaced.
_DEPTHS = 4
# What OpenMMLab's libraries call the network that computes the features.
_BACKBONES = ('backbone', 'img_backbone', 'encoder')
# On images of at least this side, a stride below 4 belongs to the stem, whose features have few channels and many
# pixels.
_LARGE_IMAGE, _STEM_STRIDE = 128, 4


@dataclass(frozen=True)
class Levels:
    """The levels that a model offers for review.

    Args:
        maps (tuple[Feature, ...]): Features with more than one pixel, fine to coarse.
        pooled (Feature, optional): The pooled vector. Defaults to None.
        depths (tuple[Feature, ...]): The blocks of a model whose blocks all have one stride, in order; any number of
            them can be levels. Defaults to ().
        left_out (tuple[str, ...]): What was left out, and why. Defaults to ().
    """

    maps: tuple[Feature, ...]
    pooled: Feature | None = None
    depths: tuple[Feature, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[Feature, ...]:
        """All features that can be levels."""
        return (*self.maps, *self.depths, *([self.pooled] if self.pooled else []))


@dataclass(frozen=True)
class Proposal:
    """The proposed taps of a pair.

    Args:
        student (tuple[Feature, ...]): The student's levels, fine to coarse.
        teacher (tuple[Feature, ...]): The teacher's levels, one for each of the student's.
        images (tuple[tuple[int, int, int], tuple[int, int, int]]): ``(C, H, W)`` of the student's and the teacher's
            blank image, at which the features have the sizes given.
        left_out (tuple[str, ...]): What was left out, and why. Defaults to ().
    """

    student: tuple[Feature, ...]
    teacher: tuple[Feature, ...]
    images: tuple[tuple[int, int, int], tuple[int, int, int]]
    left_out: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """What the table shows, as a phrase."""
        own, other = (' x '.join(map(str, image)) for image in self.images)
        return f'fine to coarse, at images of {own}' + ('' if own == other else f' for the student, {other} for the '
                                                        'teacher')

    @property
    def student_taps(self) -> list[str | dict]:
        """The student's ``taps``, as a config writes them."""
        return _as_config(self.student)

    @property
    def teacher_taps(self) -> list[str | dict]:
        """The teacher's ``taps``, as a config writes them."""
        return _as_config(self.teacher)

    def table(self) -> list[str]:
        """One line per level: stride (of both, if they differ), then tap, channels and size of student and teacher."""
        rows = [('stride', 'student', '', '', 'teacher', '', '')]
        for own, other in zip(self.student, self.teacher):
            strides = dict.fromkeys('pooled' if f.size == (1, 1) else f'{f.stride:g}' for f in (own, other))
            rows.append((' / '.join(strides), *_cells(own), *_cells(other)))
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        return lines + [f'left out: {text}' for text in self.left_out]


def propose_taps(student: nn.Module, teacher: nn.Module, image: tuple[int, int, int] | None = None) -> Proposal:
    """Propose which features of a student and a teacher to compare.

    For a detector or segmenter with a neck, these are the levels of the neck; for other models the last feature at each
    stride, before the last ReLU if the module ends in one, and the pooled vector. Levels of equal stride are paired.
    Features of the student from which nothing can be learned in training are left out, as are those of the teacher that
    are the image, such as a padded one.

    Args:
        student (nn.Module): An MMEngine ``BaseModel``, or any module that is called with its images.
        teacher (nn.Module): The same.
        image (tuple[int, int, int], optional): ``(C, H, W)`` of the images that both are trained on. Defaults to None:
            a shape that both accept.

    Raises:
        TapError: If the two have no level in common.
        ConfigError: If a model does not run on such images, or on none of the usual shapes.
    """
    found = _surveyed(student, 'student', image)
    own = levels_of(found, without_gradient(student, found.entry, found.image))
    try:
        other = _surveyed(teacher, 'teacher', image or found.image)
    except ConfigError:
        if image:
            raise
        other = _surveyed(teacher, 'teacher')
    return match_levels(own, levels_of(other, _image_modules(teacher, other)), (found.image, other.image))


def _surveyed(model: nn.Module, who: str, image: tuple[int, int, int] | None = None) -> Survey:
    try:
        return survey(model, image)
    except ConfigError as error:
        raise ConfigError(f"{who}.taps='auto': {error}") from None


def _image_modules(model: nn.Module, found: Survey) -> dict[str, str]:
    """The modules that return the image itself, such as padded, by name, and why they are left out."""
    first = min((f.order for f in found.features if any(True for _ in model.get_submodule(f.module).parameters())),
                default=0)
    return {f.module: 'no parameter comes before it' for f in found.features
            if f.order < first and f.channels == found.image[0]}


def levels_of(found: Survey, without_gradient: Mapping[str, str] = {}) -> Levels:
    """Choose the levels among the features of a survey; see :func:`propose_taps`.

    Args:
        found (Survey): The features of a model.
        without_gradient (Mapping[str, str]): Modules whose features are left out, and why. Defaults to {}.
    """
    chosen = _levels_of(found)
    usable = tuple(f for f in found.features if f.module not in without_gradient)
    if all(f in usable for f in chosen.features):
        return chosen
    left_out = tuple(
        f'{f.tap} (stride {f.stride:g}): {without_gradient[f.module]}' for f in chosen.features if f not in usable)
    chosen = _levels_of(replace(found, features=usable))
    return replace(chosen, left_out=left_out + chosen.left_out)


def _levels_of(found: Survey) -> Levels:
    part = _backbone_of(found)
    neck = _beside(part, 'neck')
    pyramid = _pyramid([f for f in found.features if f.module == neck])
    if pyramid:
        return Levels(pyramid)
    inside = [f for f in found.features if f.order <= _end_of(part, found) and not _within(f, neck)]
    pooled = _pooled(found, neck, part)
    backbone = _pyramid([f for f in inside if f.module == part])
    if backbone:
        return Levels(backbone, pooled)
    spatial = [f for f in inside if f.kind != 'vector' and f.size != (1, 1) and f.module != part]
    depths = _blocks_of_one_stride(spatial)
    if depths:
        return Levels((), pooled, depths)
    by_stride: dict[float, list[Feature]] = {}
    for feature in spatial:
        by_stride.setdefault(feature.stride, []).append(feature)
    maps, left_out = [], []
    for stride in sorted(by_stride):
        level = _end_of_stage(by_stride[stride], inside)
        reason = _why_not(level, by_stride, found.image[1])
        if reason:
            left_out.append(f'{level.tap} (stride {stride:g}): {reason}')
        else:
            maps.append(level)
    return Levels(tuple(maps), pooled, (), tuple(left_out))


def match_levels(
        student: Levels, teacher: Levels, images: tuple[tuple[int, int, int], tuple[int, int, int]]) -> Proposal:
    """Match the levels of a student and a teacher by stride.

    Of a model whose blocks all have one stride, evenly spaced blocks are taken, as many as the other model has maps.
    Two models that share fewer than two
    strides, such as two networks for small images with different stems, are matched in order from the coarsest.

    Args:
        student (Levels): The student's levels.
        teacher (Levels): The teacher's levels.
        images (tuple[tuple[int, int, int], tuple[int, int, int]]): ``(C, H, W)`` of their images.

    Raises:
        TapError: If the two have no level in common.
    """
    left_out = [f'student {text}' for text in student.left_out] + [f'teacher {text}' for text in teacher.left_out]
    if student.depths or teacher.depths:
        wanted = len(student.maps or teacher.maps) or min(_DEPTHS, len(student.depths), len(teacher.depths))
        own, other = (
            levels.maps or _evenly(levels.depths, wanted) for levels in (student, teacher))
        own, other = own[-min(len(own), len(other)):], other[-min(len(own), len(other)):]
    else:
        own, other = _same_strides(student.maps, teacher.maps)
        if len(own) < min(2, len(student.maps), len(teacher.maps)):
            count = min(len(student.maps), len(teacher.maps))
            own, other = student.maps[len(student.maps) - count:], teacher.maps[len(teacher.maps) - count:]
        for name, levels, kept in (('student', student.maps, own), ('teacher', teacher.maps, other)):
            left_out += [
                f'{name} {f.tap} (stride {f.stride:g}): the other model has no level of this stride'
                for f in levels if f not in kept]
    if student.pooled and teacher.pooled:
        own, other = (*own, student.pooled), (*other, teacher.pooled)
    if not own:
        raise TapError(
            f"taps='auto': student and teacher have no level in common; name them: the student has "
            f'{_listed(student)}, the teacher {_listed(teacher)}' + ''.join(f'; left out: {text}' for text in left_out))
    return Proposal(tuple(own), tuple(other), images, tuple(left_out))


def _pyramid(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """The maps that one module returns together, fine to coarse; none if it returns fewer than two."""
    maps = [f for f in features if f.kind != 'vector' and f.size != (1, 1)]
    return tuple(sorted(maps, key=lambda f: f.stride)) if len(maps) > 1 else ()


def _backbone_of(found: Survey) -> str:
    """The module path of the backbone, which may lie inside a wrapper; empty if there is none."""
    paths = [f.module.split('.') for f in found.features]
    for name in _BACKBONES:
        ends = [path[:path.index(name) + 1] for path in paths if name in path]
        if ends:
            return '.'.join(min(ends, key=len))
    return ''


def _beside(part: str, name: str) -> str:
    owner = part.rpartition('.')[0]
    return f'{owner}.{name}' if owner else name


def _within(feature: Feature, part: str) -> bool:
    return feature.module == part or feature.module.startswith(f'{part}.')


def _end_of(part: str, found: Survey) -> float:
    orders = [f.order for f in found.features if part and _within(f, part)]
    return max(orders) if orders else float('inf')


def _pooled(found: Survey, neck: str, part: str) -> Feature | None:
    """The pooled vector that the neck or the backbone outputs; without these, the last one before the classifier."""
    for name in (neck, part):
        vectors = [f for f in found.features if f.module == name and f.size == (1, 1)]
        if vectors:
            return vectors[-1]
    if part.endswith('backbone'):
        return None
    vectors = [f for f in found.features if f.size == (1, 1)]
    classifier = max((f.order for f in vectors if not f.composite), default=0)
    return next((f for f in reversed(vectors) if f.order < classifier), None)


def _blocks_of_one_stride(features: Sequence[Feature]) -> tuple[Feature, ...]:
    """The blocks of a model in which nearly all features have one stride, such as a plain transformer."""
    blocks = [f for f in features if f.composite and re.search(r'\.\d+$', f.module)]
    groups: dict[tuple, list[Feature]] = {}
    for block in blocks:
        groups.setdefault((block.module.rpartition('.')[0], block.type, block.size), []).append(block)
    largest = max(groups.values(), key=len, default=[])
    strides = {f.stride for f in blocks if largest and f.type == largest[0].type}
    return tuple(largest) if len(largest) > _DEPTHS and len(strides) == 1 else ()


def _end_of_stage(features: Sequence[Feature], inside: Sequence[Feature]) -> Feature:
    """The last feature of a stride that is not inside the block which reduces the resolution to the next stride."""
    strides = {f.module: f.stride for f in inside if f.kind != 'vector'}

    def reducing_blocks(feature: Feature) -> int:
        steps = feature.module.split('.')
        owners = ('.'.join(steps[:i]) for i in range(1, len(steps)))
        return sum(strides.get(owner, 0) > feature.stride for owner in owners)

    fewest = min(map(reducing_blocks, features))
    outer = [f for f in features if reducing_blocks(f) == fewest]
    return next((f for f in reversed(outer) if f.composite), outer[-1])


def _why_not(level: Feature, strides: Iterable[float], image: int) -> str:
    """Why a level is left out; empty if it is kept."""
    if image >= _LARGE_IMAGE and level.stride < _STEM_STRIDE:
        return 'the stem, thin features at many pixels'
    if level.stride < 1:
        return 'larger than the image'
    near = [
        other for other in strides if 1 < max(other, level.stride) / min(other, level.stride) < 1.3
        and not _is_power_of_two(level.stride) and (_is_power_of_two(other) or other > level.stride)]
    if near:
        return f'nearly the size of the level of stride {near[0]:g}'
    return ''


def _is_power_of_two(stride: float) -> bool:
    return math.log2(stride).is_integer()


def _evenly(features: Sequence[Feature], count: int) -> tuple[Feature, ...]:
    count = min(count, len(features))
    return tuple(features[(i + 1) * len(features) // count - 1] for i in range(count))


def _same_strides(
        student: Sequence[Feature], teacher: Sequence[Feature]) -> tuple[tuple[Feature, ...], tuple[Feature, ...]]:
    pairs = []
    for stride in dict.fromkeys(f.stride for f in student):
        own = [f for f in student if f.stride == stride]
        other = [f for f in teacher if f.stride == stride]
        count = min(len(own), len(other))
        best = own[len(own) - count:], other[len(other) - count:]
        if len({f.size for f in own + other}) > 1:  # few pixels may give levels of two strides the same rounded one
            choices = itertools.product(*(itertools.combinations(group[::-1], count) for group in (own, other)))
            best = (part[::-1] for part in min(choices, key=lambda choice: sum(map(_apart, *choice))))
        pairs += zip(*best)
    return tuple(own for own, _ in pairs), tuple(other for _, other in pairs)


def _apart(student: Feature, teacher: Feature) -> float:
    """How far the sizes of two features are apart, as a logarithm."""
    return abs(math.log(student.size[0] / teacher.size[0])) + abs(math.log(student.size[1] / teacher.size[1]))


def _as_config(features: Sequence[Feature]) -> list[str | dict]:
    """Write features as ``taps``; a module all of whose outputs are taken, in order, is named once."""
    taps: list[str | dict] = []
    for path, group in itertools.groupby(features, key=lambda f: f.path):
        group = list(group)
        whole = [f'{path}:output[{i}]' for i in range(group[0].outputs)]
        taps += [path] if len(group) > 1 and [f.tap for f in group] == whole else [f.config() for f in group]
    return taps


def _cells(feature: Feature) -> tuple[str, str, str]:
    tap = feature.config()
    name = tap if isinstance(tap, str) else f'{tap["tap"]} ({tap["type"]})'
    return name, f'{feature.channels} channels', f'{feature.size[0]} x {feature.size[1]}'


def _listed(levels: Levels) -> str:
    return ', '.join(f.tap for f in levels.features) or 'no features'
