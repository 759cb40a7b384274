"""Report a finished run: its curves beside those of the student alone, and its levels over time."""

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmreviewkd.apis.lower_is_better import is_lower_better
from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.errors import ConfigError

from .curves import level_curves, training_curve
from .output import pyplot, save_figure

_SHOWN_METRICS = 3
_PICTURE = re.compile(r'(levels_image\d+)_(\d+)\.png')
_UNLOGGED = """The run logged nothing about its levels. These hooks do, without a change to the training:

```python
custom_hooks = [
    *_base_.custom_hooks, dict(type='mmreviewkd.LevelScalarsHook'), dict(type='mmreviewkd.LevelPicturesHook')]
```"""


def run_report(work_dir: Path, alone: Path | None = None, out: Path | None = None) -> Path:
    """Write a report of a run as Markdown, with figures beside it.

    Args:
        work_dir (Path): The run's work dir.
        alone (Path, optional): The work dir of the same student trained alone, for comparison. Defaults to None.
        out (Path, optional): The folder to write to. Defaults to ``report`` in the work dir.

    Returns:
        Path: The report, ``out/report.md``.

    Raises:
        ConfigError: If a work dir holds no log of a training.
    """
    out = Path(out or Path(work_dir) / 'report')
    runs = {'distilled': _curve(work_dir)}
    if alone is not None:
        runs['alone'] = _curve(alone)
    metrics = _metrics(runs)
    levels = level_curves(work_dir)
    parts = [f'# {Path(work_dir).name}', _summary(runs, metrics), '## Curves', '![Curves](curves.png)']
    _draw_curves(runs, metrics, out / 'curves.png')
    parts.append('## Levels')
    if levels:
        parts += [text for text in (_levels_table(levels), _gradients_text(levels)) if text]
        _draw_levels(levels, out / 'levels.png')
        parts.append('![Levels over time](levels.png)')
    else:
        parts.append(_UNLOGGED)
    pictures = latest_pictures(work_dir)
    for name, (step, file) in pictures.items():
        save_atomically(lambda path, file=file: Path(path).write_bytes(file.read_bytes()), out / f'{name}.png')
        parts.append(f'![{name}, drawn at {step}]({name}.png)')
    report = out / 'report.md'
    save_atomically(lambda path: Path(path).write_text('\n\n'.join(parts) + '\n', encoding='utf-8'), report)
    return report


def _curve(work_dir: Path) -> dict:
    if not any(Path(work_dir).glob('*/vis_data/scalars.json')):
        raise ConfigError(
            f'{str(work_dir)!r} holds no log of a training (*/vis_data/scalars.json); give the work dir of a run')
    found = training_curve(work_dir)
    if not found['curve']['iteration']:
        raise ConfigError(f'{str(work_dir)!r} holds a log, but no training iteration is in it yet')
    return found


def _metrics(runs: Mapping[str, dict]) -> list[str]:
    """The first few metrics that all runs have; mean APs come before a detector's other metrics."""
    validations = [run['curve']['validation'] for run in runs.values()]
    common = [name for name in validations[0] if all(name in other for other in validations)]
    return sorted(common, key=lambda name: not name.endswith('mAP'))[:_SHOWN_METRICS]


def _summary(runs: Mapping[str, dict], metrics: Sequence[str]) -> str:
    columns = [*(f'{name}, last' for name in metrics), *(f'{name}, best' for name in metrics), 'loss of the task, last',
               'iterations', 'minutes']
    rows = [f'| | {" | ".join(columns)} |', f'|---|{"---:|" * len(columns)}']
    figures = {}
    for name, run in runs.items():
        curve = run['curve']
        values = [[value for _, value in curve['validation'][metric]] for metric in metrics]
        figures[name] = [*(v[-1] for v in values), *map(_best, metrics, values)]
        cells = [*(f'{figure:.4g}' for figure in figures[name]), f'{_end(curve["loss"]):.4g}',
                 str(curve['iteration'][-1]), f'{run["train_minutes"]:.1f}']
        rows.append(f'| {name} | {" | ".join(cells)} |')
    if 'alone' in figures and metrics:
        gains = [f'{a - b:+.4g}' for a, b in zip(figures['distilled'], figures['alone'])]
        rows.append(f'| gain | {" | ".join(gains)} | | | |')
    note = '' if metrics else '\n\nThe runs have no validation in common.' if len(runs) > 1 else \
        '\n\nThe run was not validated.'
    one = '\n\nOne run of each is no proof of a gain: seeds differ.' if 'alone' in figures else ''
    return '\n'.join(rows) + note + one


def _best(metric: str, values: Sequence[float]) -> float:
    return (min if is_lower_better(metric) else max)(values)


def _levels_table(levels: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    rows = []
    for name, points in levels.items():
        if not name.startswith('grad_norm/'):
            first, last = points[0][1], points[-1][1]
            change = f'{last / first:.2f}' if first else ''
            rows.append(f'| {name} | {first:.4g} (at {points[0][0]}) | {last:.4g} (at {points[-1][0]}) | {change} |')
    if not rows:
        return ''
    return '\n'.join([
        '`distance` is the loss of a level on fixed images with weight 1, by epoch, or by iteration where the hook '
        'counts these; `loss_distill` that of training batches with its weight, by iteration. Level 1 is the finest.',
        '', '| | first | last | last / first |', '|---|---:|---:|---:|', *rows])


def _gradients_text(levels: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    own, distill = (dict(levels.get(f'grad_norm/{name}', ())) for name in ('own', 'distill'))
    ratios = [distill[step] / own[step] for step in own if step in distill and own[step]]
    if not ratios:
        return ''
    return (
        f"The distillation's gradient over the student's parameters is {statistics.median(ratios):.3g} times as long "
        f"as that of the student's own losses (median of {len(ratios)} iterations; {min(ratios):.3g} to "
        f'{max(ratios):.3g}).')


def latest_pictures(work_dir: Path) -> dict[str, tuple[int, Path]]:
    """Find the pictures that :class:`~mmreviewkd.engine.hooks.LevelPicturesHook` has drawn last.

    Args:
        work_dir (Path): The run's work dir.

    Returns:
        dict[str, tuple[int, Path]]: The step and the file of each image, by its name.
    """
    found: dict[str, tuple[int, Path]] = {}
    for file in Path(work_dir).glob('*/vis_data/vis_image/levels_image*.png'):
        match = _PICTURE.fullmatch(file.name)
        if match and (match[1] not in found or int(match[2]) >= found[match[1]][0]):
            found[match[1]] = int(match[2]), file
    return dict(sorted(found.items()))


def _draw_curves(runs: Mapping[str, dict], metrics: Sequence[str], file: Path) -> None:
    figure, panels = pyplot().subplots(
        1, 1 + len(metrics), figsize=(5 * (1 + len(metrics)), 4), layout='constrained', squeeze=False)
    for name, run in runs.items():
        panels[0][0].plot(run['curve']['iteration'], run['curve']['loss'], label=name)
        for axes, metric in zip(panels[0][1:], metrics):
            axes.plot(*zip(*run['curve']['validation'][metric]), marker='o', label=name)
    panels[0][0].set(xlabel='iteration', ylabel='loss of the task', yscale='log')
    for axes, metric in zip(panels[0][1:], metrics):
        axes.set(xlabel='epoch or iteration', ylabel=metric)
    for axes in panels[0]:
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, file)


def _draw_levels(levels: Mapping[str, Sequence[tuple[int, float]]], file: Path) -> None:
    groups: dict[str, dict] = {}
    for name, points in levels.items():
        group, _, label = name.partition('/')
        groups.setdefault(group, {})[label] = points
    labels = {'distance': 'epoch or iteration (fixed images)', 'loss_distill': 'iteration', 'grad_norm': 'iteration'}
    figure, panels = pyplot().subplots(
        1, len(groups), figsize=(5 * len(groups), 4), layout='constrained', squeeze=False)
    for axes, (group, curves) in zip(panels[0], groups.items()):
        for label, points in curves.items():
            axes.plot(*zip(*points), marker='.', label=label)
        positive = all(value > 0 for points in curves.values() for _, value in points)
        axes.set(xlabel=labels[group], ylabel=group, yscale='log' if positive else 'linear')
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, file)


def _end(values: Sequence[float]) -> float:
    """The mean of the last tenth."""
    return statistics.mean(values[-max(1, len(values) // 10):])
