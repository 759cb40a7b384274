"""Distil a classifier on Fashion-MNIST and compare teacher, student alone and distilled student.

Finished trainings are not repeated; an interrupted one is resumed.
"""

import argparse
from pathlib import Path

from rich.console import Console

from mmreviewkd.studies.classification_demo import distilled_student, results_table, run_demo
from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo'), help='the folder for all results')
    parser.add_argument('--data', help='a folder with the four files of Fashion-MNIST, gzipped or not')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='seeds of the students')
    parser.add_argument(
        '--baselines', action='store_true', help='also Knowledge Review as in its paper, logit KD and same-level L2')
    args = parser.parse_args()
    with one_line_errors():
        prepare_fashion_mnist('data/fashion_mnist', args.data)
        results = run_demo(args.out, args.seeds, args.baselines)
    Console().print(results_table(results))
    print(f'Results: {args.out / "results.json"}; curves: {args.out / "curves.png"}; the distilled student: '
          f'{distilled_student(args.out, args.seeds[0])}')


if __name__ == '__main__':
    main()
