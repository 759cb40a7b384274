"""Run the ablations on Fashion-MNIST: connections, fusions, losses, other methods and sensitivity to settings.

Finished trainings are not repeated, so an interrupted study is continued.
"""

import argparse
from pathlib import Path

from mmreviewkd.apis.arguments import positive
from mmreviewkd.studies.ablation.page import check_page, publish
from mmreviewkd.studies.ablation.study import Ablation
from mmreviewkd.studies.ablation.variants import SEEDS, TUNING_SEEDS, VALIDATION, VARIANTS
from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.studies.output import write_json
from mmreviewkd.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/ablation'), help='the folder for all trainings')
    parser.add_argument('--data', help='a folder with the four files of Fashion-MNIST, gzipped or not')
    parser.add_argument('--docs', type=Path, help='a folder with ablations.md, to fill with tables and pictures')
    parser.add_argument('--workers', type=positive, default=1, help='how many trainings run at once, a thread each')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.docs:
        check_page(args.docs)
    prepare_fashion_mnist('data/fashion_mnist', args.data)
    study = Ablation(args.out, VARIANTS, SEEDS, TUNING_SEEDS, VALIDATION)
    results = study.run(args.workers, lambda results: write_json(results, args.out / 'results.json'))
    write_json(results, args.out / 'results.json')
    if args.docs:
        publish(results, args.docs)


if __name__ == '__main__':
    with one_line_errors():
        main()
