"""The demo of semantic segmentation on Fashion-MNIST scenes: a teacher, the student alone, and distilled students."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from . import demo
from .demo import ALONE, REVIEW, TEACHER, Demo
from .gains import compare_seeds
from .output import write_json
from .segmentation_picture import draw_segmentations
from .training import Training

CONFIGS = 'configs/fashion_scenes'
METRICS = {'mIoU': 'mIoU'}
CWD = 'CWD'


def run_demo(out: Path, seeds: Sequence[int] = (0,), baselines: bool = False) -> dict[str, list[dict]]:
    """Train teacher and students, skipping finished trainings, and write ``results.json`` and ``predictions.png``.

    With several seeds, ``seeds.md`` and ``seeds.png`` show each pair of students, and ``seeds_cwd.md`` and
    ``seeds_cwd.png`` Knowledge Review beside channel-wise distillation.

    Args:
        out (Path): The folder for all results.
        seeds (Sequence[int]): Seeds of the students. Defaults to (0,).
        baselines (bool): Train students with channel-wise distillation (CWD), too. Defaults to False.

    Returns:
        dict[str, list[dict]]: Results as :meth:`~mmreviewkd.studies.training.Training.run` returns them, one for each
        seed, by the name of the network.

    Raises:
        ConfigError: If a training fails; the message names its log.
    """
    trainings = _demo(out, baselines)
    results = trainings.run(seeds)
    write_json([result for group in results.values() for result in group], out / 'results.json')
    compare_seeds(seeds, results[ALONE], results[REVIEW], METRICS, 1.0, out / 'seeds.md')
    if baselines:
        compare_seeds(seeds, results[CWD], results[REVIEW], METRICS, 1.0, out / 'seeds_cwd.md', (CWD, REVIEW))
    teacher, alone = trainings.teacher, trainings.student(ALONE, seeds[-1])
    student = distilled_student(out, seeds[-1])
    draw_segmentations(
        {
            TEACHER: (teacher.config, teacher.checkpoint),
            ALONE: (alone.config, alone.checkpoint),
            REVIEW: (student, student.with_suffix('.pth')),
        }, alone.config, out / 'predictions.png')
    return results


def distilled_student(out: Path, seed: int) -> Path:
    """The config of the exported student that was distilled with Knowledge Review."""
    return _demo(out).exported(REVIEW, seed)


def results_table(results: Mapping[str, Sequence[dict]]) -> Table:
    """Mean IoU, gain over the student alone, size and cost of each network: means over its seeds."""
    return demo.results_table('Fashion-MNIST scenes, 300 test scenes', results, METRICS)


def _demo(out: Path, baselines: bool = False) -> Demo:
    students = {ALONE: f'{CONFIGS}/fpn_r18.py', REVIEW: f'{CONFIGS}/fpn_r18_review-r34.py'}
    if baselines:
        students[CWD] = f'{CONFIGS}/fpn_r18_cwd-r34.py'
    return Demo(out, Training(TEACHER, f'{CONFIGS}/fpn_r34.py', out / 'fpn_r34'), students)
