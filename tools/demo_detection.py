"""Distil a detector on scenes made from Fashion-MNIST: teacher, lone student, distilled student, and what was gained.

Trainings that are done are not repeated, an interrupted one goes on.
"""

import argparse
import statistics
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmreviewkd.studies.detection_picture import draw_detections
from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.studies.fashion_scenes import make_fashion_scenes
from mmreviewkd.studies.study import Training, write_results
from mmreviewkd.utils.errors import one_line_errors

CONFIGS = 'configs/fashion_scenes'
METRICS = {'box AP': 'coco/bbox_mAP', 'mask AP': 'coco/segm_mAP'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo_detection'), help='the folder for all results')
    parser.add_argument('--data', help='a folder with the four files of Fashion-MNIST, packed or not')
    parser.add_argument('--detector', choices=['mask-rcnn', 'faster-rcnn', 'retinanet'], default='mask-rcnn')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='seeds of the students')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    raw = prepare_fashion_mnist('data/fashion_mnist', args.data)
    make_fashion_scenes('data/fashion_scenes', raw)
    teacher_config, alone_config, review_config = (
        f'{CONFIGS}/{args.detector}_{name}.py' for name in ('r34', 'r18', 'r18_review-r34'))
    teacher = Training('teacher', teacher_config, args.out / f'{args.detector}_r34')
    results = {'teacher': [teacher.run()]}
    for seed in args.seeds:
        alone = Training(
            'student alone', alone_config, args.out / f'{args.detector}_r18_seed{seed}', {'randomness.seed': seed})
        review = Training(
            'Knowledge Review', review_config, args.out / f'{args.detector}_r18_review-r34_seed{seed}',
            {'randomness.seed': seed, 'model.teacher.checkpoint': teacher.checkpoint})
        for training in (alone, review):
            results.setdefault(training.name, []).append(training.run())

    write_results([result for group in results.values() for result in group], args.out / f'{args.detector}.json')
    student = review.work_dir / 'student' / 'student.py'
    picture = args.out / f'{args.detector}.png'
    draw_detections(
        {
            'teacher': (teacher_config, teacher.checkpoint),
            'student alone': (alone_config, alone.checkpoint),
            'Knowledge Review': (student, student.with_suffix('.pth')),
        }, alone_config, picture)
    Console().print(table(results))
    print(f'Results: {args.out / args.detector}.json; the same test scenes by each: {picture}; '
          f'the distilled student: {student}')


def table(results: dict[str, list[dict]]) -> Table:
    """What each network reached, the mean of its seeds, and what the distilled student gained."""
    seeds = len(results['student alone'])
    shown = Table(title=f'Fashion-MNIST scenes, 300 test scenes, {seeds} seed{"s" if seeds > 1 else ""}')
    metrics = {name: key for name, key in METRICS.items() if key in results['teacher'][0]['metrics']}
    for column in ('', *(c for name in metrics for c in (name, 'gain')), 'parameters', 'training (min)'):
        shown.add_column(column, justify='right' if column else 'left')
    for name, group in results.items():
        cells = []
        for key in metrics.values():
            found, alone = ([100 * result['metrics'][key] for result in results[n]] for n in (name, 'student alone'))
            spread = f' ± {statistics.stdev(found):.1f}' if len(found) > 1 else ''
            gain = f'{statistics.mean(found) - statistics.mean(alone):+.1f}' if name == 'Knowledge Review' else ''
            cells += [f'{statistics.mean(found):.1f}{spread}', gain]
        minutes = statistics.mean(result['train_minutes'] for result in group)
        shown.add_row(name, *cells, f'{group[0]["parameters"]:,}', f'{minutes:.1f}')
    return shown


if __name__ == '__main__':
    with one_line_errors():
        main()
