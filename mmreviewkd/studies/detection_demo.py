"""The demo on Fashion-MNIST scenes: a detector as teacher, the student alone, and the distilled student."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from mmreviewkd.utils.progress import tracked

from .detection_picture import draw_detections
from .gains import compare_seeds
from .output import write_json
from .training import Training

CONFIGS = 'configs/fashion_scenes'
METRICS = {'box AP': 'coco/bbox_mAP', 'mask AP': 'coco/segm_mAP'}
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
    teacher_config, alone_config, review_config = (
        f'{CONFIGS}/{detector}_{name}.py' for name in ('r34', 'r18', 'r18_review-r34'))
    teacher = Training('teacher', teacher_config, out / f'{detector}_r34')
    results, trainings = {'teacher': [teacher.run()]}, []
    for seed in seeds:
        alone = Training('student alone', alone_config, out / f'{detector}_r18_seed{seed}', {'randomness.seed': seed})
        review = Training(
            'Knowledge Review', review_config, out / f'{detector}_r18_review-r34_seed{seed}',
            {'randomness.seed': seed, 'model.teacher.checkpoint': teacher.checkpoint})
        trainings += [alone, review]
    for training in tracked(trainings, 'students', len(trainings)):
        results.setdefault(training.name, []).append(training.run())
    write_json([result for group in results.values() for result in group], out / f'{detector}.json')
    compare_seeds(
        seeds, results['student alone'], results['Knowledge Review'], METRICS, 100.0, out / f'{detector}_seeds.md')
    student = distilled_student(out, detector, seeds[-1])
    draw_detections(
        {
            'teacher': (teacher_config, teacher.checkpoint),
            'student alone': (alone_config, alone.checkpoint),
            'Knowledge Review': (student, student.with_suffix('.pth')),
        }, alone_config, out / f'{detector}.png')
    return results


def distilled_student(out: Path, detector: str, seed: int) -> Path:
    """The config of the exported student that was distilled with Knowledge Review."""
    return out / f'{detector}_r18_review-r34_seed{seed}' / 'student' / 'student.py'


def results_table(results: Mapping[str, Sequence[dict]]) -> Table:
    """Box and mask AP, the distilled student's gain, size and cost of each network: means over its seeds."""
    seeds = len(results['student alone'])
    table = Table(title=f'Fashion-MNIST scenes, 300 test scenes, {seeds} seed{"s" if seeds > 1 else ""}')
    metrics = {name: key for name, key in METRICS.items() if key in results['teacher'][0]['metrics']}
    for column in ('', *(c for name in metrics for c in (name, 'gain')), 'parameters', 'training (min)'):
        table.add_column(column, justify='right' if column else 'left')
    for name, group in results.items():
        cells = []
        for key in metrics.values():
            found, alone = ([100 * result['metrics'][key] for result in results[n]] for n in (name, 'student alone'))
            spread = f' ± {statistics.stdev(found):.1f}' if len(found) > 1 else ''
            gain = f'{statistics.mean(found) - statistics.mean(alone):+.1f}' if name == 'Knowledge Review' else ''
            cells += [f'{statistics.mean(found):.1f}{spread}', gain]
        minutes = statistics.mean(result['train_minutes'] for result in group)
        table.add_row(name, *cells, f'{group[0]["parameters"]:,}', f'{minutes:.1f}')
    return table
