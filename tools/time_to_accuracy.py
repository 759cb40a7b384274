"""Measure how long the demo's students on Fashion-MNIST train until they are as accurate as the student alone.

Times are of the machine that runs this, so nothing else should run beside it. Finished trainings are not repeated.
"""

import argparse
from pathlib import Path

from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.studies.time_to_accuracy import results_table, time_to_accuracy
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/time'), help='the folder for all trainings')
    parser.add_argument('--data', help='a folder with the four files of Fashion-MNIST, gzipped or not')
    parser.add_argument('--seed', type=int, default=0, help='seed of the students')
    parser.add_argument('--docs', type=Path, help='a folder with benchmark.md, for table and picture')
    args = parser.parse_args()
    with one_line_errors():
        prepare_fashion_mnist('data/fashion_mnist', args.data)
        print(results_table(time_to_accuracy(args.out, args.seed, args.docs)))


if __name__ == '__main__':
    main()
