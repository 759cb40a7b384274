"""The demo on Fashion-MNIST: a teacher, the student alone, and the distilled student."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from mmreviewkd.utils.progress import progress

from .curves import plot_curves
from .gains import compare_seeds
from .output import write_json
from .training import Training

CONFIGS = 'configs/fashion_mnist'
METRIC = 'accuracy/top1'
STUDENTS = {'student alone': 'resnet8', 'Knowledge Review': 'resnet8_review-resnet14'}
BASELINES = {'logit KD': 'resnet8_kd-resnet14', 'same-level L2': 'resnet8_l2-resnet14'}


def run_demo(out: Path, seeds: Sequence[int] = (0,), baselines: bool = False) -> dict[str, list[dict]]:
    """Train teacher and students, skipping finished trainings, and write ``results.json`` and ``curves.png``.

    With several seeds, ``seeds.md`` and ``seeds.png`` show each pair of students.

    Args:
        out (Path): The folder for all results.
        seeds (Sequence[int]): Seeds of the students. Defaults to (0,).
        baselines (bool): Train students with logit KD and same-level L2, too. Defaults to False.

    Returns:
        dict[str, list[dict]]: Results as :meth:`~mmreviewkd.studies.training.Training.run` returns them, one for each
        seed, by the name of the network.

    Raises:
        ConfigError: If a training fails; the message names its log.
    """
    teacher = Training('teacher', f'{CONFIGS}/resnet14.py', out / 'teacher')
    students = {**STUDENTS, **(BASELINES if baselines else {})}
    with progress('all trainings', 1 + len(seeds) * len(students)) as done:
        results = {'teacher': [teacher.run()]}
        done(1)
        for count, (seed, name) in enumerate(itertools.product(seeds, students), start=2):
            options = {'randomness.seed': seed}
            if name != 'student alone':
                options['model.teacher.checkpoint'] = teacher.checkpoint
            config = students[name]
            training = Training(name, f'{CONFIGS}/{config}.py', out / f'{config}_seed{seed}', options)
            results.setdefault(name, []).append(training.run())
            done(count)
    write_json([result for group in results.values() for result in group], out / 'results.json')
    plot_curves([group[0] for group in results.values()], METRIC, out / 'curves.png')
    compare_seeds(
        seeds, *(results[name] for name in STUDENTS), metrics={'top-1 (%)': METRIC}, scale=1.0, file=out / 'seeds.md')
    return results


def distilled_student(out: Path, seed: int) -> Path:
    """The config of the exported student that was distilled with Knowledge Review."""
    return out / f'{STUDENTS["Knowledge Review"]}_seed{seed}' / 'student' / 'student.py'


def results_table(results: Mapping[str, Sequence[dict]]) -> Table:
    """Accuracy, gain over the student alone, size and cost of each network: means over its seeds."""
    seeds = len(results['student alone'])
    table = Table(title=f'Fashion-MNIST, 10,000 test images, {seeds} seed{"s" if seeds > 1 else ""}')
    for column in ('', 'top-1 (%)', 'gain', 'parameters', 'MFLOPs', 'training (min)'):
        table.add_column(column, justify='right' if column else 'left')
    alone = [result['metrics'][METRIC] for result in results['student alone']]
    for name, group in results.items():
        top1 = [result['metrics'][METRIC] for result in group]
        spread = f' ± {statistics.stdev(top1):.2f}' if len(top1) > 1 else ''
        gain = '' if name in ('teacher', 'student alone') else f'{statistics.mean(top1) - statistics.mean(alone):+.2f}'
        table.add_row(
            name, f'{statistics.mean(top1):.2f}{spread}', gain, f'{group[0]["parameters"]:,}',
            f'{group[0]["flops"] / 1e6:.2f}', f'{statistics.mean(result["train_minutes"] for result in group):.1f}')
    return table
