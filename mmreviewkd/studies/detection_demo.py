"""The demo on Fashion-MNIST scenes: a detector as teacher, the student alone, and the distilled student."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from . import demo
from .demo import ALONE, REVIEW, TEACHER, Demo
from .detection_picture import draw_detections
from .gains import compare_seeds
from .output import write_json
from .training import Training

CONFIGS = 'configs/fashion_scenes'
METRICS = {'box AP': 'coco/bbox_mAP', 'mask AP': 'coco/segm_mAP'}
TEACHER_NAME = 'mask-rcnn_r34'  # teaches every student, by its feature pyramid
DETECTORS = ('mask-rcnn', 'faster-rcnn', 'retinanet')


def run_demo(out: Path, detector: str = 'mask-rcnn', seeds: Sequence[int] = (0,)) -> dict[str, list[dict]]:
    """Train teacher and students, skipping finished trainings, and write ``{detector}.json`` and ``{detector}.png``.

    With several seeds, ``{detector}_seeds.md`` and ``{detector}_seeds.png`` show each pair of students.

    Args:
        out (Path): The folder for all results.
        detector (str): One of 'mask-rcnn', 'faster-rcnn' and 'retinanet'. Defaults to 'mask-rcnn'.
        seeds (Sequence[int]): Seeds of the students. Defaults to (0,).

    Returns:
        dict[str, list[dict]]: Results as :meth:`~mmreviewkd.studies.training.Training.run` returns them, one for each
        seed, by the name of the network.

    Raises:
        ConfigError: If a training fails; the message names its log.
    """
    trainings = _demo(out, detector)
    results = trainings.run(seeds)
    write_json([result for group in results.values() for result in group], out / f'{detector}.json')
    compare_seeds(seeds, results[ALONE], results[REVIEW], METRICS, 100.0, out / f'{detector}_seeds.md')
    teacher, alone = trainings.teacher, trainings.student(ALONE, seeds[-1])
    student = distilled_student(out, detector, seeds[-1])
    draw_detections(
        {
            TEACHER: (teacher.config, teacher.checkpoint),
            ALONE: (alone.config, alone.checkpoint),
            REVIEW: (student, student.with_suffix('.pth')),
        }, alone.config, out / f'{detector}.png')
    return results


def distilled_student(out: Path, detector: str, seed: int) -> Path:
    """The config of the exported student that was distilled with Knowledge Review."""
    return _demo(out, detector).exported(REVIEW, seed)


def results_table(results: Mapping[str, Sequence[dict]]) -> Table:
    """Box and mask AP, the distilled student's gain, size and cost of each network: means over its seeds."""
    return demo.results_table(
        'Fashion-MNIST scenes, 300 test scenes', results, METRICS, scale=100.0, digits=1, flops=False)


def _demo(out: Path, detector: str) -> Demo:
    return Demo(out, Training(TEACHER, f'{CONFIGS}/{TEACHER_NAME}.py', out / TEACHER_NAME), {
        ALONE: f'{CONFIGS}/{detector}_r18.py', REVIEW: f'{CONFIGS}/{detector}_r18_review-r34.py'})
