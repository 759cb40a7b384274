"""Distil a detector on scenes made from Fashion-MNIST and compare teacher, student alone and distilled student.

Finished trainings are not repeated; an interrupted one is resumed.
"""

import argparse
from pathlib import Path

from rich.console import Console

from mmreviewkd.studies.detection_demo import DETECTORS, distilled_student, results_table, run_demo
from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.studies.fashion_scenes import make_fashion_scenes
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/demo_detection'), help='the folder for all results')
    parser.add_argument('--data', help='a folder with the four files of Fashion-MNIST, gzipped or not')
    parser.add_argument('--detector', choices=DETECTORS, default='mask-rcnn')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='seeds of the students')
    args = parser.parse_args()
    with one_line_errors():
        make_fashion_scenes('data/fashion_scenes', prepare_fashion_mnist('data/fashion_mnist', args.data))
        results = run_demo(args.out, args.detector, args.seeds)
    Console().print(results_table(results))
    print(f'Results: {args.out / args.detector}.json; the same test scenes by each: {args.out / args.detector}.png; '
          f'the distilled student: {distilled_student(args.out, args.detector, args.seeds[-1])}')


if __name__ == '__main__':
    main()
