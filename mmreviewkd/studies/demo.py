"""What the demos share: the trainings of a teacher and its students, and the table of their results."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from mmreviewkd.utils.progress import progress

from .training import Training

TEACHER, ALONE, REVIEW = 'teacher', 'student alone', 'Knowledge Review'


@dataclass(frozen=True)
class Demo:
    """A teacher, and students that are trained alone and distilled from it, with the same seeds.

    Args:
        out (Path): The folder for all trainings.
        teacher (Training): The teacher's training.
        students (Mapping[str, str]): The config file of each kind of student, by its name in tables: ``ALONE``,
            ``REVIEW``, and further methods to compare with.
    """

    out: Path
    teacher: Training
    students: Mapping[str, str]

    def student(self, name: str, seed: int) -> Training:
        """The training of a student; a distilled one names the checkpoint of the teacher, which must be trained.

        Args:
            name (str): One of the names of ``students``.
            seed (int): Its random seed.
        """
        config = self.students[name]
        options = {'randomness.seed': seed}
        if name != ALONE:
            options['model.teacher.checkpoint'] = self.teacher.checkpoint
        return Training(name, config, self._work_dir(name, seed), options)

    def exported(self, name: str, seed: int) -> Path:
        """The config of an exported student, beside its weights."""
        return self._work_dir(name, seed) / 'student' / 'student.py'

    def run(self, seeds: Sequence[int]) -> dict[str, list[dict]]:
        """Train the teacher, then the students seed by seed; finished trainings are skipped.

        Args:
            seeds (Sequence[int]): Seeds of the students.

        Returns:
            dict[str, list[dict]]: Results as :meth:`~mmreviewkd.studies.training.Training.run` returns them, one for
            each seed, by the name of the network.

        Raises:
            ConfigError: If a training fails; the message names its log.
        """
        with progress('all trainings', 1 + len(seeds) * len(self.students)) as done:
            results = {TEACHER: [self.teacher.run()]}
            done(1)
            for count, (seed, name) in enumerate(itertools.product(seeds, self.students), start=2):
                results.setdefault(name, []).append(self.student(name, seed).run())
                done(count)
        return results

    def _work_dir(self, name: str, seed: int) -> Path:
        return self.out / f'{Path(self.students[name]).stem}_seed{seed}'


def results_table(
        title: str, results: Mapping[str, Sequence[dict]], metrics: Mapping[str, str], scale: float = 1.0,
        digits: int = 2, flops: bool = True) -> Table:
    """Scores, gain over the student alone, size and cost of each network: means over its seeds.

    Args:
        title (str): What was tested on; the number of seeds is added.
        results (Mapping): Results as :meth:`Demo.run` returns them.
        metrics (Mapping[str, str]): The evaluator's name of each metric, by its name in the table; metrics that were
            not evaluated are left out.
        scale (float): Factor that makes a metric a percentage. Defaults to 1.0.
        digits (int): Decimals of scores. Defaults to 2.
        flops (bool): Show multiply-adds. Defaults to True.
    """
    seeds = len(results[ALONE])
    table = Table(title=f'{title}, {seeds} seed{"s" if seeds > 1 else ""}')
    metrics = {name: key for name, key in metrics.items() if key in results[ALONE][0]['metrics']}
    for column in ('', *(c for name in metrics for c in (name, 'gain')), 'parameters', *['MFLOPs'] * flops,
                   'training (min)'):
        table.add_column(column, justify='right' if column else 'left')
    for name, group in results.items():
        cells = []
        for key in metrics.values():
            found, alone = ([scale * result['metrics'][key] for result in results[n]] for n in (name, ALONE))
            spread = f' ± {statistics.stdev(found):.{digits}f}' if len(found) > 1 else ''
            gain = '' if name in (TEACHER, ALONE) else \
                f'{statistics.mean(found) - statistics.mean(alone):+.{digits}f}'
            cells += [f'{statistics.mean(found):.{digits}f}{spread}', gain]
        cost = [f'{group[0]["flops"] / 1e6:.2f}'] if flops else []
        minutes = statistics.mean(result['train_minutes'] for result in group)
        table.add_row(name, *cells, f'{group[0]["parameters"]:,}', *cost, f'{minutes:.1f}')
    return table
