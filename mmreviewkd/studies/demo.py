"""What the demos share: the trainings of a teacher and its students, and the table of their results."""

import dataclasses
import itertools
import os
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table

from mmreviewkd.utils.progress import progress

from .training import Training, stop_trainings

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
        """Train the teacher and the students, several at the same time; finished trainings are skipped.

        Without a GPU each training computes with one thread, or with as many as the environment variable
        ``OMP_NUM_THREADS`` says, and as many run at the same time as the cores allow. So the results do not depend on
        the number of cores. With a GPU one training runs after the other.

        Args:
            seeds (Sequence[int]): Seeds of the students.

        Returns:
            dict[str, list[dict]]: Results as :meth:`~mmreviewkd.studies.training.Training.run` returns them, one for
            each seed, by the name of the network.

        Raises:
            ConfigError: If a training fails; the message names its log. The others are stopped, and resumed in the
                next run.
        """
        threads = None if torch.cuda.is_available() else _threads()
        workers = 1 if threads is None else max(1, len(os.sched_getaffinity(0)) // threads)
        pairs = sorted(itertools.product(seeds, self.students), key=lambda pair: pair[1] != ALONE)
        with progress('all trainings', 1 + len(pairs)) as done, ThreadPoolExecutor(workers) as pool:
            # In this order: a student alone need not wait for the teacher, and no student for the teacher's test.
            trained = Future()
            teacher = pool.submit(self._run_teacher, threads, trained)
            students = {pair: pool.submit(self._run_student, *pair, threads, trained) for pair in pairs}
            try:
                for count, future in enumerate(as_completed([teacher, *students.values()]), start=1):
                    future.result()
                    done(count)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                stop_trainings()
                raise
        return {
            TEACHER: [teacher.result()],
            **{name: [students[seed, name].result() for seed in seeds] for name in self.students}}

    def _run_teacher(self, threads: int | None, trained: Future) -> dict:
        """Run the teacher's training; ``trained`` is done before its test, or holds its error."""
        try:
            return dataclasses.replace(self.teacher, threads=threads).run(lambda: trained.set_result(None))
        except BaseException as error:
            if not trained.done():
                trained.set_exception(error)
            raise

    def _run_student(self, seed: int, name: str, threads: int | None, trained: Future) -> dict:
        if name != ALONE:
            trained.result()
        return dataclasses.replace(self.student(name, seed), threads=threads).run()

    def _work_dir(self, name: str, seed: int) -> Path:
        return self.out / f'{Path(self.students[name]).stem}_seed{seed}'


def _threads() -> int:
    found = os.environ.get('OMP_NUM_THREADS', '1')
    return int(found) if found.isdecimal() and int(found) else 1


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
