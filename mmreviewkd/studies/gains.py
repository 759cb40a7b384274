"""Compare students trained alone and distilled, seed by seed."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.errors import ConfigError

from .output import pyplot, save_figure


@dataclass(frozen=True)
class PairedScores:
    """Scores of two trainings that differ in the method only, each with the same seeds.

    Args:
        seeds (Sequence[int]): The seeds, two at least.
        alone (Sequence[float]): Score of the student trained alone (%), one per seed.
        distilled (Sequence[float]): Score of the distilled student (%), one per seed.
        names (tuple[str, str]): The names of both methods. Defaults to ('alone', 'Knowledge Review').

    Raises:
        ConfigError: If a seed has no pair of scores, or there are fewer than two seeds.
    """

    seeds: Sequence[int]
    alone: Sequence[float]
    distilled: Sequence[float]
    names: tuple[str, str] = ('alone', 'Knowledge Review')

    def __post_init__(self) -> None:
        if not len(self.seeds) == len(self.alone) == len(self.distilled) >= 2:
            raise ConfigError(
                f'a paired comparison needs both scores of at least two seeds, but there are {len(self.seeds)} seeds, '
                f'{len(self.alone)} scores of students alone and {len(self.distilled)} of distilled ones')

    @property
    def gains(self) -> list[float]:
        """Distilled minus alone, one per seed."""
        return [distilled - alone for alone, distilled in zip(self.alone, self.distilled)]

    def p_value(self) -> float:
        """Two-sided p-value of the exact Wilcoxon signed-rank test for a gain of zero."""
        from scipy.stats import wilcoxon
        return float(wilcoxon(self.distilled, self.alone, method='exact').pvalue)

    def markdown(self, metric: str) -> str:
        """A table with a row a seed, then mean, standard deviation and worst of each column.

        Args:
            metric (str): The name of the score, for the header.
        """
        columns = [self.alone, self.distilled, self.gains]
        rows = [[str(seed), *row] for seed, row in zip(self.seeds, zip(*columns))]
        rows += [['mean', *map(statistics.mean, columns)], ['standard deviation', *map(statistics.stdev, columns)],
                 ['worst', *map(min, columns)]]
        first, second = self.names
        lines = [f'| seed | {first}, {metric} | {second}, {metric} | gain |', '|---|---:|---:|---:|']
        lines += [f'| {name} | {alone:.2f} | {distilled:.2f} | {_signed(name, gain)} |'
                  for name, alone, distilled, gain in rows]
        return '\n'.join([*lines, '', f'Wilcoxon signed-rank test over the pairs: p = {self.p_value():.2g}.'])


def _signed(row: str, gain: float) -> str:
    return f'{gain:.2f}' if row == 'standard deviation' else f'{gain:+.2f}'


def draw_pairs(scores: Mapping[str, PairedScores], file: Path) -> None:
    """Draw each seed's pair of scores, connected by a line, one panel per metric.

    Args:
        scores (Mapping[str, PairedScores]): The scores, by the name of the metric.
        file (Path): The image file to write.
    """
    figure, panels = pyplot().subplots(
        1, len(scores), figsize=(4 * len(scores), 4), layout='constrained', squeeze=False)
    for axes, (metric, pairs) in zip(panels[0], scores.items()):
        for pair in zip(pairs.alone, pairs.distilled):
            axes.plot((0, 1), pair, color='0.7', marker='o', markerfacecolor='C0', markeredgewidth=0, zorder=1)
        means = statistics.mean(pairs.alone), statistics.mean(pairs.distilled)
        axes.plot((0, 1), means, color='C1', marker='D', linewidth=2, label='mean', zorder=2)
        axes.set_xticks((0, 1), pairs.names)
        axes.set(ylabel=metric, xlim=(-0.3, 1.3), title=f'{len(pairs.seeds)} seeds, {means[1] - means[0]:+.2f}')
        axes.grid(axis='y', alpha=0.3)
        axes.legend()
    save_figure(figure, file)


def compare_seeds(
        seeds: Sequence[int], alone: Sequence[dict], distilled: Sequence[dict], metrics: Mapping[str, str],
        scale: float, file: Path, names: tuple[str, str] = ('alone', 'Knowledge Review')) -> None:
    """Write each seed's scores with a paired test as Markdown, and draw them beside it; nothing for a single seed.

    Args:
        seeds (Sequence[int]): The seeds.
        alone (Sequence[dict]): Results of the students alone, as
            :meth:`~mmreviewkd.studies.training.Training.run` returns them, one a seed.
        distilled (Sequence[dict]): Results of the distilled students, one a seed.
        metrics (Mapping[str, str]): The evaluator's name of each metric, by the name to show.
        scale (float): Factor that makes a metric a percentage.
        file (Path): The Markdown file; the figure has the suffix ``.png``.
        names (tuple[str, str]): The names of both methods. Defaults to ('alone', 'Knowledge Review').
    """
    if len(seeds) < 2:
        return
    scores = {
        name: PairedScores(seeds, *(
            [scale * result['metrics'][key] for result in results] for results in (alone, distilled)), names)
        for name, key in metrics.items() if key in alone[0]['metrics']}
    text = '\n\n'.join(pairs.markdown(name) for name, pairs in scores.items()) + '\n'
    save_atomically(lambda path: Path(path).write_text(text, encoding='utf-8'), file)
    draw_pairs(scores, file.with_suffix('.png'))
