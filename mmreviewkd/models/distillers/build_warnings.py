"""Warnings about pairs that can be trained, but are probably misconfigured."""

from mmreviewkd.models.taps.probe import Probe


def pair_warnings(student: Probe, teacher: Probe, levels: int | None = None) -> list[str]:
    """Find probable mistakes in the levels of a student and a teacher.

    Args:
        student (Probe): The student's levels, fine to coarse.
        teacher (Probe): The teacher's levels.
        levels (int, optional): The number of feature levels; the remaining ones are logits. Defaults to None, all.

    Returns:
        list[str]: One sentence for each finding.
    """
    found = []
    for who, probe in (('student', student), ('teacher', teacher)):
        sizes = [shape[1] * shape[2] for shape in probe.shapes[:levels]]
        found += [
            f'{who}.taps are not fine to coarse: {coarse!r} ({_size(probe, k)}) comes before {fine!r} '
            f'({_size(probe, k + 1)})'
            for k, (coarse, fine) in enumerate(zip(probe.names, probe.names[1:len(sizes)])) if sizes[k] < sizes[k + 1]]
        found += [
            f'{who}.taps: {tap!r} is called {probe.calls[tap]} times, once per level of a pyramid, and only the last '
            'call is distilled; tap the neck for all levels' for tap in probe.shared]
    found += [
        f'student.taps: no trainable parameter comes before {tap!r} (frozen_stages?), so the student learns nothing '
        'from this level' for tap in student.frozen]
    apart = [
        f'{s_name!r} ({_stride(s)}) with {t_name!r} ({_stride(t)})' for s_name, s, t_name, t in zip(
            student.names[:levels], student.strides, teacher.names, teacher.strides) if _differ(s, t)]
    if apart:
        found.append(f'the strides of student and teacher differ: {", ".join(apart)}; the connector resizes the maps, '
                     'so this trains, but make sure that each level is paired with the one that is meant')
    return found


def _differ(student: float, teacher: float) -> bool:
    """Whether two strides differ by more than rounding: patches of 14 and of 16 pixels count as the same."""
    return student != teacher and not 2 / 3 < student / teacher < 3 / 2


def _size(probe: Probe, level: int) -> str:
    return ' x '.join(map(str, probe.shapes[level][1:]))


def _stride(stride: float) -> str:
    return 'pooled' if stride == float('inf') else f'stride {stride:.3g}'
