"""Figures of an ablation study's results."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreviewkd.studies.output import pyplot, save_figure

from .tables import gains, scores, spread


def draw_matrix(
        results: Mapping, labels: Sequence[str], names: Mapping[tuple[int, int], str], baseline: str,
        file: Path) -> None:
    """Draw a heat map of gains over the baseline, student levels by teacher levels.

    Args:
        results (Mapping): The study's results.
        labels (Sequence[str]): Names of the levels, fine to coarse.
        names (Mapping[tuple[int, int], str]): The variants, by student level and teacher level.
        baseline (str): The variant to compare with.
        file (Path): The image file to write.
    """
    found = [[gains(results, names.get((i, j), ''), baseline) for j in range(len(labels))] for i in range(len(labels))]
    means = [[statistics.mean(cell) if cell else float('nan') for cell in row] for row in found]
    most = max((abs(value) for row in means for value in row if value == value), default=1)
    figure, axes = pyplot().subplots(figsize=(5.6, 4.6), layout='constrained')
    image = axes.imshow(means, cmap='RdYlGn', vmin=-most, vmax=most)
    for i, row in enumerate(means):
        for j, value in enumerate(row):
            axes.text(j, i, f'{value:+.1f}' if found[i][j] else '–', ha='center', va='center')
    axes.set(
        xticks=range(len(labels)), xticklabels=labels, yticks=range(len(labels)), yticklabels=labels,
        xlabel='teacher level', ylabel='student level', title='one connection at a time: points over the student alone')
    axes.title.set_size(10)
    figure.colorbar(image, shrink=0.8)
    save_figure(figure, file)


def draw_bars(results: Mapping, groups: Mapping[str, Mapping[str, str]], baseline: str, file: Path) -> None:
    """Draw mean scores as bars, one panel for each group, with a dot for each seed and a line for the baseline.

    Args:
        results (Mapping): The study's results.
        groups (Mapping): Labels of the bars by the variant's name, by the panel's title.
        baseline (str): The variant that the line shows.
        file (Path): The image file to write.
    """
    longest = max(map(len, groups.values()))
    figure, panels = pyplot().subplots(
        1, len(groups), figsize=(5.5 * len(groups), 0.42 * longest + 1.2), layout='constrained', squeeze=False,
        sharex=True)
    for axes, (title, bars) in zip(panels[0], groups.items()):
        for row, variant in enumerate(bars):
            values = _finite(results, variant)
            if values:
                axes.barh(row, statistics.mean(values), xerr=spread(values), color='tab:blue', alpha=0.6)
                axes.plot(values, [row] * len(values), 'k.', markersize=4)
        _baseline(axes.axvline, results, baseline)
        axes.set(yticks=range(len(bars)), yticklabels=bars.values(), title=title, xlabel=results['metric'])
        axes.invert_yaxis()
    everything = [value for bars in groups.values() for name in bars for value in _finite(results, name)]
    panels[0][0].set_xlim(min(everything) - 1, max(everything) + 1)
    save_figure(figure, file)


def draw_lines(results: Mapping, groups: Mapping[str, Mapping[str, Any]], baseline: str, file: Path) -> None:
    """Draw mean scores over the values of a setting, one panel for each setting, with error bars.

    Values more than 10 points below the baseline lie outside the axes; a setting with a diverged training is not drawn.

    Args:
        results (Mapping): The study's results.
        groups (Mapping): Values of the setting by the variant's name, by the panel's title.
        baseline (str): The variant that the line shows.
        file (Path): The image file to write.
    """
    figure, panels = pyplot().subplots(
        1, len(groups), figsize=(3.4 * len(groups), 3.4), layout='constrained', squeeze=False, sharey=True)
    for axes, (title, points) in zip(panels[0], groups.items()):
        found = {label: values for name, label in points.items() if (values := _finite(results, name))}
        axes.errorbar(
            range(len(found)), list(map(statistics.mean, found.values())), list(map(spread, found.values())),
            marker='o', capsize=3)
        _baseline(axes.axhline, results, baseline)
        axes.set(xticks=range(len(found)), title=title)
        axes.set_xticklabels(found, fontsize=8)
        axes.grid(alpha=0.3)
    panels[0][0].set_ylabel(results['metric'])
    everything = [value for points in groups.values() for name in points for value in _finite(results, name)]
    lowest = statistics.mean(_finite(results, baseline)) - 10 if _finite(results, baseline) else 0
    panels[0][0].set_ylim(max(lowest, min(everything) - 1), max(everything) + 1)
    save_figure(figure, file)


def _baseline(line: Any, results: Mapping, baseline: str) -> None:
    values = _finite(results, baseline)
    if values:
        line(statistics.mean(values), color='gray', linestyle='--', linewidth=1)


def _finite(results: Mapping, variant: str) -> list[float]:
    """The scores of a variant; none if one of its trainings is unfinished or diverged."""
    found = list(scores(results, variant).values())
    return [] if None in found else found
