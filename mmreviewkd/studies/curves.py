"""Training curves: read from MMEngine's logs, and plotted."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from .output import pyplot, save_figure

_DISTILLATION_LOSSES = ('loss_distill', 'loss_logit')
#: How the names begin that the hooks ``LevelScalarsHook`` and ``LevelPicturesHook`` log.
LEVEL_SCALARS = ('loss_distill/', 'grad_norm/', 'distance/')


def training_curve(work_dir: Path) -> dict:
    """Read the scalars that a run logged, across interruptions; if a step was repeated, its last line counts.

    Args:
        work_dir (Path): The run's work dir.

    Returns:
        dict: ``train_minutes``, and ``curve`` with ``iteration``, ``loss`` (of the student's own task, without the
        distillation losses) and, by metric, ``validation`` as pairs of step and value.
    """
    lines, validation = {}, {}
    for line in _logged(work_dir):
        if not any(key.startswith(LEVEL_SCALARS) for key in line):
            (lines if 'loss' in line else validation)[line['step']] = line
    steps = sorted(lines)
    metrics = sorted({key for line in validation.values() for key in line} - {'step', 'time', 'data_time'})
    # A line has the total, `loss`, and its summands; for a model with a single loss it has the total only.
    task = [
        sum(value for key, value in lines[step].items()
            if 'loss' in key and key not in ('loss', *_DISTILLATION_LOSSES)) or lines[step]['loss']
        for step in steps]
    minutes = sum((b - a) * lines[b]['time'] for a, b in zip([0, *steps], steps)) / 60
    return dict(
        train_minutes=minutes,
        curve=dict(
            iteration=steps, loss=task,
            validation={key: [(step, validation[step][key]) for step in sorted(validation) if key in validation[step]]
                        for key in metrics}))


def level_curves(work_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the scalars of the levels that a run logged, across interruptions.

    Args:
        work_dir (Path): The run's work dir.

    Returns:
        dict[str, list[tuple[int, float]]]: Pairs of step and value, by the scalar's name; empty for a run without
        :class:`~mmreviewkd.engine.hooks.LevelScalarsHook` and :class:`~mmreviewkd.engine.hooks.LevelPicturesHook`.
    """
    found: dict[str, dict[int, float]] = {}
    for line in _logged(work_dir):
        for key, value in line.items():
            if key.startswith(LEVEL_SCALARS):
                found.setdefault(key, {})[line['step']] = value
    return {key: sorted(found[key].items()) for key in sorted(found)}


def _logged(work_dir: Path) -> Iterator[dict]:
    """The lines of a run's scalars; what was cut off when the run was killed, or is damaged, is left out."""
    for file in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for text in file.read_text(encoding='utf-8', errors='replace').splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                line = json.loads(text)
                if isinstance(line, dict) and 'step' in line:
                    yield line


def plot_curves(results: Sequence[dict], metric: str, file: Path) -> None:
    """Plot the training losses and a validation metric of several runs.

    Args:
        results (Sequence[dict]): Results of :meth:`~mmreviewkd.studies.training.Training.run`.
        metric (str): The validation metric.
        file (Path): The image file to write.
    """
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(10, 4), layout='constrained')
    for result in results:
        curve = result['curve']
        left.plot(curve['iteration'], curve['loss'], label=result['name'])
        right.plot(*zip(*curve['validation'].get(metric, [(0, 0)])), marker='o', label=result['name'])
    left.set(xlabel='iteration', ylabel='loss of the task', yscale='log')
    right.set(xlabel='epoch', ylabel=metric)
    left.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save_figure(figure, file)
