"""The demo on Fashion-MNIST: a teacher, the student alone, and the distilled student."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from . import demo
from .curves import plot_curves
from .demo import ALONE, REVIEW, Demo
from .gains import compare_seeds
from .output import write_json
from .training import Training

CONFIGS = 'configs/fashion_mnist'
METRIC = 'accuracy/top1'
STUDENTS = {ALONE: f'{CONFIGS}/resnet8.py', REVIEW: f'{CONFIGS}/resnet8_review-kd-resnet14.py'}
PAPER_REVIEW, LOGIT_KD = f'{REVIEW} as in its paper', 'logit KD'
BASELINES = {PAPER_REVIEW: f'{CONFIGS}/resnet8_review-resnet14.py',
             LOGIT_KD: f'{CONFIGS}/resnet8_kd-resnet14.py',
             'same-level L2': f'{CONFIGS}/resnet8_l2-resnet14.py'}


def run_demo(out: Path, seeds: Sequence[int] = (0,), baselines: bool = False) -> dict[str, list[dict]]:
    """Train teacher and students, skipping finished trainings, and write ``results.json`` and ``curves.png``.

    With several seeds, ``seeds.md`` and ``seeds.png`` show each pair of students.

    Args:
        out (Path): The folder for all results.
        seeds (Sequence[int]): Seeds of the students. Defaults to (0,).
        baselines (bool): Train students with Knowledge Review as in its paper, logit KD and same-level L2, too.
            Defaults to False.

    Returns:
        dict[str, list[dict]]: Results as :meth:`~mmreviewkd.studies.training.Training.run` returns them, one for each
        seed, by the name of the network.

    Raises:
        ConfigError: If a training fails; the message names its log.
    """
    results = _demo(out, baselines).run(seeds)
    write_json([result for group in results.values() for result in group], out / 'results.json')
    plot_curves([group[0] for group in results.values()], METRIC, out / 'curves.png')
    compare_seeds(
        seeds, results[ALONE], results[REVIEW], metrics={'top-1 (%)': METRIC}, scale=1.0, file=out / 'seeds.md')
    return results


def distilled_student(out: Path, seed: int) -> Path:
    """The config of the exported student that was distilled with Knowledge Review."""
    return _demo(out).exported(REVIEW, seed)


def results_table(results: Mapping[str, Sequence[dict]]) -> Table:
    """Accuracy, gain over the student alone, size and cost of each network: means over its seeds."""
    return demo.results_table('Fashion-MNIST, 10,000 test images', results, {'top-1 (%)': METRIC})


def _demo(out: Path, baselines: bool = False) -> Demo:
    teacher = Training(demo.TEACHER, f'{CONFIGS}/resnet14.py', out / 'teacher')
    return Demo(out, teacher, {**STUDENTS, **(BASELINES if baselines else {})})
