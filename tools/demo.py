"""Distil a classifier on Fashion-MNIST: teacher, lone student, distilled student, and what was gained.

Trainings that are done are not repeated, an interrupted one goes on.
"""

import argparse
import statistics
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.studies.study import Training, plot_curves, write_results
from mmreviewkd.utils.errors import one_line_errors

CONFIGS = 'configs/fashion_mnist'
METRIC = 'accuracy/top1'
STUDENTS = {'student alone': 'resnet8', 'Knowledge Review': 'resnet8_review-resnet14'}
BASELINES = {'logit KD': 'resnet8_kd-resnet14', 'same-level L2': 'resnet8_l2-resnet14'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'), help='the folder for all results')
    parser.add_argument('--data', help='a folder with the four files of Fashion-MNIST, packed or not')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='seeds of the students')
    parser.add_argument('--baselines', action='store_true', help='also logit KD and same-level L2')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    prepare_fashion_mnist('data/fashion_mnist', args.data)
    teacher = Training('teacher', f'{CONFIGS}/resnet14.py', args.out / 'teacher')
    results = {'teacher': [teacher.run()]}
    for seed in args.seeds:
        for name, config in {**STUDENTS, **(BASELINES if args.baselines else {})}.items():
            options = {'randomness.seed': seed}
            if name != 'student alone':
                options['model.teacher.checkpoint'] = teacher.checkpoint
            training = Training(name, f'{CONFIGS}/{config}.py', args.out / f'{config}_seed{seed}', options)
            results.setdefault(name, []).append(training.run())

    write_results([result for group in results.values() for result in group], args.out / 'results.json')
    plot_curves([group[0] for group in results.values()], METRIC, args.out / 'curves.png')
    Console().print(table(results))
    print(f'Results: {args.out / "results.json"}; curves: {args.out / "curves.png"}; the distilled student: '
          f'{args.out / STUDENTS["Knowledge Review"]}_seed{args.seeds[0]}/student/student.py')


def table(results: dict[str, list[dict]]) -> Table:
    """What each network reached, the mean of its seeds."""
    seeds = len(results['student alone'])
    shown = Table(title=f'Fashion-MNIST, 10,000 test images, {seeds} seed{"s" if seeds > 1 else ""}')
    for column in ('', 'top-1 (%)', 'gain', 'parameters', 'MFLOPs', 'training (min)'):
        shown.add_column(column, justify='right' if column else 'left')
    alone = [result['metrics'][METRIC] for result in results['student alone']]
    for name, group in results.items():
        top1 = [result['metrics'][METRIC] for result in group]
        spread = f' ± {statistics.stdev(top1):.2f}' if len(top1) > 1 else ''
        gain = '' if name in ('teacher', 'student alone') else f'{statistics.mean(top1) - statistics.mean(alone):+.2f}'
        shown.add_row(
            name, f'{statistics.mean(top1):.2f}{spread}', gain, f'{group[0]["parameters"]:,}',
            f'{group[0]["flops"] / 1e6:.2f}', f'{statistics.mean(result["train_minutes"] for result in group):.1f}')
    return shown


if __name__ == '__main__':
    with one_line_errors():
        main()
