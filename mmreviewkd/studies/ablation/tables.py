"""Markdown tables of an ablation study's results."""

import statistics
from collections.abc import Mapping, Sequence

_DIVERGED = 'diverged'


def scores(results: Mapping, variant: str) -> dict[str, float | None]:
    """The scores of a variant by seed, None of a training that diverged; empty unless all seeds are finished.

    Args:
        results (Mapping): As :meth:`~mmreviewkd.studies.ablation.study.Ablation.results` returns them.
        variant (str): The variant's name.
    """
    found = results['variants'].get(variant, {}).get('score', {})
    return found if len(found) == len(results['seeds']) else {}


def gains(results: Mapping, variant: str, baseline: str) -> list[float]:
    """Difference in score between a variant and a baseline for each seed; empty if one is unfinished or diverged."""
    ours, theirs = scores(results, variant), scores(results, baseline)
    if not ours or not theirs or None in [*ours.values(), *theirs.values()]:
        return []
    return [ours[seed] - theirs[seed] for seed in ours]


def variants_table(
        results: Mapping, header: Sequence[str], rows: Mapping[str, Sequence[str]], baseline: str) -> str:
    """A table with one row for each variant: its description, loss weight, score and gain over the baseline.

    Args:
        results (Mapping): The study's results.
        header (Sequence[str]): Headers of the columns that describe a variant.
        rows (Mapping[str, Sequence[str]]): The cells of those columns, by the variant's name.
        baseline (str): The variant to compare with.
    """
    lines = [[*header, 'loss weight', results['metric'], 'gain', 'by seed']]
    for variant, cells in rows.items():
        found = scores(results, variant)
        weights = results['variants'].get(variant, {}).get('weights', {})
        explicit = results['variants'].get(variant, {}).get('options', {}).get('model.distill_loss.loss_weight')
        shown = ' + '.join(f'{value:g}' for value in weights.values()) or (f'{explicit:g}' if explicit else '')
        lines.append([
            *cells, shown, _mean_and_spread(list(found.values())),
            '' if variant == baseline else _mean_and_spread(gains(results, variant, baseline), signed=True),
            ' '.join('–' if value is None else f'{value:.1f}' for value in found.values())])
    return markdown(lines, left=len(header))


def matrix_table(results: Mapping, labels: Sequence[str], names: Mapping[tuple[int, int], str], baseline: str) -> str:
    """A table of gains over the baseline with one row for each student level and one column for each teacher level.

    Args:
        results (Mapping): The study's results.
        labels (Sequence[str]): Names of the levels, fine to coarse.
        names (Mapping[tuple[int, int], str]): The variants, by student level and teacher level.
        baseline (str): The variant to compare with.
    """
    lines = [['student \\ teacher', *labels]]
    for i, label in enumerate(labels):
        cells = [gains(results, names.get((i, j), ''), baseline) for j in range(len(labels))]
        lines.append([label, *(_mean_and_spread(cell, signed=True) for cell in cells)])
    return markdown(lines)


def tuning_table(results: Mapping) -> str:
    """A table with one row for each method: mean validation score by loss weight, the best in bold."""
    methods: dict[str, dict[str, list[float]]] = {}
    for run in results['tunings']:
        weight = ' + '.join(f'{value:g}' for value in run['weights'].values())
        methods.setdefault(run['variant'], {}).setdefault(weight, []).append(run['score'])
    lines = [['method', f'loss weight: validation {results["metric"]}']]
    for method, tried in methods.items():
        means = {weight: float('-inf') if None in found else statistics.mean(found) for weight, found in tried.items()}
        best = max(means, key=means.get)
        cells = {weight: f'{weight}: {mean:.1f}' if mean > float('-inf') else f'{weight}: {_DIVERGED}'
                 for weight, mean in means.items()}
        cells[best] = f'**{cells[best]}**'
        lines.append([method, ' · '.join(cells.values())])
    return markdown(lines, left=2)


def teachers_table(results: Mapping, names: Mapping[str, str]) -> str:
    """A table with one row for each teacher: name, config, score, parameters and FLOPs.

    Args:
        results (Mapping): The study's results.
        names (Mapping[str, str]): The teachers' names, by config.
    """
    lines = [['teacher', 'config', results['metric'], 'parameters', 'MFLOPs']]
    for teacher in results['teachers']:
        lines.append([
            names[teacher['config']], f'`{teacher["config"]}`', f'{teacher["score"]:.2f}',
            f'{teacher["parameters"]:,}', f'{teacher["flops"] / 1e6:.2f}'])
    return markdown(lines, left=2)


def cost_table(results: Mapping) -> str:
    """A table of the number of trainings, their cost and the library versions."""
    versions = ', '.join(f'{name} {version}' for name, version in results['versions'].items())
    return markdown([
        ['trainings', 'seeds', 'seeds of the loss weights', 'CPU minutes', 'wall minutes', 'versions'],
        [str(results['trainings']), ', '.join(map(str, results['seeds'])),
         ', '.join(map(str, results['tuning_seeds'])),
         f'{results["cpu_minutes"]:.0f}', f'{results["wall_minutes"]:.0f}', versions]])


def markdown(lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table of a header and rows; the first ``left`` columns are aligned to the left."""
    rule = ['---'] * left + ['---:'] * (len(lines[0]) - left)
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in (lines[0], rule, *lines[1:]))


def spread(values: Sequence[float]) -> float:
    """The standard deviation; 0 of a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _mean_and_spread(values: Sequence[float | None], signed: bool = False) -> str:
    if not values:
        return '–'
    if None in values:
        return _DIVERGED
    return f'{statistics.mean(values):{"+" if signed else ""}.2f} ± {spread(values):.2f}'
