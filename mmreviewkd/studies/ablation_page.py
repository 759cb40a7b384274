"""What an ablation study found, as tables of a Markdown page and as pictures."""

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.errors import ConfigError


def top1(results: Mapping, variant: str) -> dict[str, float]:
    """Top-1 accuracy (%) of a variant by seed; empty unless all seeds are done.

    Args:
        results (Mapping): As :meth:`~mmreviewkd.studies.ablation.Ablation.results` gives them.
        variant (str): The variant's name.
    """
    found = results['variants'].get(variant, {}).get('top1', {})
    return found if len(found) == len(results['seeds']) else {}


def gains(results: Mapping, variant: str, baseline: str) -> list[float]:
    """What a variant has over another, seed by seed; empty unless all are done."""
    ours, theirs = top1(results, variant), top1(results, baseline)
    return [ours[seed] - theirs[seed] for seed in ours] if ours and theirs else []


def variants_table(
        results: Mapping, header: Sequence[str], rows: Mapping[str, Sequence[str]], baseline: str) -> str:
    """A row a variant: what it is, its loss weight, its accuracy and what it gains over the baseline.

    Args:
        results (Mapping): The study's results.
        header (Sequence[str]): Names of the cells that say what a variant is.
        rows (Mapping[str, Sequence[str]]): Those cells, by the variant's name.
        baseline (str): The variant that gains are over.
    """
    lines = [[*header, 'loss weight', 'top-1 (%)', 'gain', 'by seed']]
    for variant, cells in rows.items():
        accuracy = top1(results, variant)
        weights = results['variants'].get(variant, {}).get('weights', {})
        explicit = results['variants'].get(variant, {}).get('options', {}).get('model.distill_loss.loss_weight')
        shown = ' + '.join(f'{value:g}' for value in weights.values()) or (f'{explicit:g}' if explicit else '')
        lines.append([
            *cells, shown, _mean_and_spread(list(accuracy.values())),
            '' if variant == baseline else _mean_and_spread(gains(results, variant, baseline), signed=True),
            ' '.join(f'{value:.1f}' for value in accuracy.values())])
    return markdown(lines, left=len(header))


def matrix_table(results: Mapping, labels: Sequence[str], names: Mapping[tuple[int, int], str], baseline: str) -> str:
    """Gains over the baseline, a row for each student level, a column for each of the teacher's.

    Args:
        results (Mapping): The study's results.
        labels (Sequence[str]): The levels, fine to coarse.
        names (Mapping[tuple[int, int], str]): The variants, by the pair of a student and a teacher level.
        baseline (str): The variant that gains are over.
    """
    lines = [['student \\ teacher', *labels]]
    for i, label in enumerate(labels):
        cells = [gains(results, names.get((i, j), ''), baseline) for j in range(len(labels))]
        lines.append([label, *(_mean_and_spread(cell, signed=True) for cell in cells)])
    return markdown(lines)


def tuning_table(results: Mapping) -> str:
    """A row a method: the loss weights that were tried, each with its mean validation accuracy; the best is bold."""
    methods: dict[str, dict[str, list[float]]] = {}
    for run in results['tunings']:
        weight = ' + '.join(f'{value:g}' for value in run['weights'].values())
        methods.setdefault(run['variant'], {}).setdefault(weight, []).append(run['top1'])
    lines = [['method', 'loss weight: validation top-1 (%)']]
    for method, tried in methods.items():
        means = {weight: statistics.mean(accuracies) for weight, accuracies in tried.items()}
        best = max(means, key=means.get)
        cells = {weight: f'{weight}: {mean:.1f}' for weight, mean in means.items()}
        cells[best] = f'**{cells[best]}**'
        lines.append([method, ' · '.join(cells.values())])
    return markdown(lines, left=2)


def teachers_table(results: Mapping, names: Mapping[str, str]) -> str:
    """A row a teacher: name and config, accuracy, parameters and operations.

    Args:
        results (Mapping): The study's results.
        names (Mapping[str, str]): The teachers' names, by config.
    """
    lines = [['teacher', 'config', 'top-1 (%)', 'parameters', 'MFLOPs']]
    for teacher in results['teachers']:
        lines.append([
            names[teacher['config']], f'`{teacher["config"]}`', f'{teacher["top1"]:.2f}',
            f'{teacher["parameters"]:,}', f'{teacher["flops"] / 1e6:.2f}'])
    return markdown(lines, left=2)


def cost_table(results: Mapping) -> str:
    """What the study ran on and what it cost."""
    versions = ', '.join(f'{name} {version}' for name, version in results['versions'].items())
    return markdown([
        ['trainings', 'seeds', 'seeds of the loss weights', 'CPU minutes', 'wall minutes', 'versions'],
        [str(results['trainings']), ', '.join(map(str, results['seeds'])),
         ', '.join(map(str, results['tuning_seeds'])),
         f'{results["cpu_minutes"]:.0f}', f'{results["wall_minutes"]:.0f}', versions]])


def fill_page(page: Path, tables: Mapping[str, str]) -> None:
    """Put tables where a Markdown page has ``<!-- table: NAME -->`` and, after it, ``<!-- end -->``.

    Args:
        page (Path): The page.
        tables (Mapping[str, str]): The tables by name.

    Raises:
        ConfigError: If the page has no place for one.
    """
    text = page.read_text()
    for name, table in tables.items():
        place = re.compile(rf'(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)', re.DOTALL)
        text, found = place.subn(lambda match, table=table: f'{match[1]}{table}\n{match[2]}', text)
        if found != 1:
            raise ConfigError(f'{page} must hold <!-- table: {name} --> and <!-- end --> once, not {found} times')
    save_atomically(lambda path: Path(path).write_text(text), page)


def markdown(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table of a header and rows; the first ``left`` columns are aligned to the left."""
    rule = ['---'] * left + ['---:'] * (len(lines[0]) - left)
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in (lines[0], rule, *lines[1:]))


def draw_matrix(
        results: Mapping, labels: Sequence[str], names: Mapping[tuple[int, int], str], baseline: str,
        file: Path) -> None:
    """Draw :func:`matrix_table` as a heat map."""
    found = [[gains(results, names.get((i, j), ''), baseline) for j in range(len(labels))] for i in range(len(labels))]
    means = [[statistics.mean(cell) if cell else float('nan') for cell in row] for row in found]
    most = max((abs(value) for row in means for value in row if value == value), default=1)
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(5.6, 4.6), layout='constrained')
    image = axes.imshow(means, cmap='RdYlGn', vmin=-most, vmax=most)
    for i, row in enumerate(means):
        for j, value in enumerate(row):
            axes.text(j, i, f'{value:+.1f}' if found[i][j] else '–', ha='center', va='center')
    axes.set(
        xticks=range(len(labels)), xticklabels=labels, yticks=range(len(labels)), yticklabels=labels,
        xlabel='teacher level', ylabel='student level', title='one connection at a time: points over the student alone')
    axes.title.set_size(10)
    figure.colorbar(image, shrink=0.8)
    _save(figure, file)


def draw_bars(results: Mapping, groups: Mapping[str, Mapping[str, str]], baseline: str, file: Path) -> None:
    """Draw accuracies: a panel a group, a bar a variant, a dot a seed, a line for the baseline.

    Args:
        results (Mapping): The study's results.
        groups (Mapping): By the panel's title, the bars' labels by the variants' names.
        baseline (str): The variant that the line stands for.
        file (Path): The picture's file.
    """
    pyplot = _pyplot()
    longest = max(map(len, groups.values()))
    figure, panels = pyplot.subplots(
        1, len(groups), figsize=(5.5 * len(groups), 0.42 * longest + 1.2), layout='constrained', squeeze=False,
        sharex=True)
    for axes, (title, bars) in zip(panels[0], groups.items()):
        for row, variant in enumerate(bars):
            values = list(top1(results, variant).values())
            if values:
                axes.barh(row, statistics.mean(values), xerr=_spread(values), color='tab:blue', alpha=0.6)
                axes.plot(values, [row] * len(values), 'k.', markersize=4)
        _baseline(axes.axvline, results, baseline)
        axes.set(yticks=range(len(bars)), yticklabels=bars.values(), title=title, xlabel='top-1 (%)')
        axes.invert_yaxis()
    everything = [value for bars in groups.values() for name in bars for value in top1(results, name).values()]
    panels[0][0].set_xlim(min(everything) - 1, max(everything) + 1)
    _save(figure, file)


def draw_lines(results: Mapping, groups: Mapping[str, Mapping[str, Any]], baseline: str, file: Path) -> None:
    """Draw accuracies over settings: a panel a setting, its values in order, the spread as bars.

    What lies far below the baseline, as a training that diverges does, falls out of the picture.

    Args:
        results (Mapping): The study's results.
        groups (Mapping): By the panel's title, the settings' values by the variants' names.
        baseline (str): The variant that the line stands for.
        file (Path): The picture's file.
    """
    pyplot = _pyplot()
    figure, panels = pyplot.subplots(
        1, len(groups), figsize=(3.4 * len(groups), 3.4), layout='constrained', squeeze=False, sharey=True)
    for axes, (title, points) in zip(panels[0], groups.items()):
        found = {label: values for name, label in points.items() if (values := list(top1(results, name).values()))}
        axes.errorbar(
            range(len(found)), list(map(statistics.mean, found.values())), list(map(_spread, found.values())),
            marker='o', capsize=3)
        _baseline(axes.axhline, results, baseline)
        axes.set(xticks=range(len(found)), title=title)
        axes.set_xticklabels(found, fontsize=8)
        axes.grid(alpha=0.3)
    panels[0][0].set_ylabel('top-1 (%)')
    everything = [value for points in groups.values() for name in points for value in top1(results, name).values()]
    lowest = statistics.mean(top1(results, baseline).values()) - 10 if top1(results, baseline) else 0
    panels[0][0].set_ylim(max(lowest, min(everything) - 1), max(everything) + 1)
    _save(figure, file)


def _mean_and_spread(values: Sequence[float], signed: bool = False) -> str:
    if not values:
        return '–'
    return f'{statistics.mean(values):{"+" if signed else ""}.2f} ± {_spread(values):.2f}'


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _baseline(line: Any, results: Mapping, baseline: str) -> None:
    values = top1(results, baseline)
    if values:
        line(statistics.mean(values.values()), color='gray', linestyle='--', linewidth=1)


def _pyplot() -> Any:
    import matplotlib
    matplotlib.use('agg')
    from matplotlib import pyplot
    return pyplot


def _save(figure: Any, file: Path) -> None:
    save_atomically(lambda path: figure.savefig(path, dpi=120), file)
    _pyplot().close(figure)
