"""Compare distillation methods on Fashion-MNIST, each at its own best loss weight.

Finished trainings are not repeated, so an interrupted study is continued.
"""

import argparse
from pathlib import Path

from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.studies.fashion_scenes import make_fashion_scenes
from mmreviewkd.studies.method_comparison import SETTINGS, compare_methods
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, help='the folder for all trainings')
    parser.add_argument(
        '--setting', choices=[name.replace(' ', '-') for name in SETTINGS], default='few-images',
        help='classifiers with 500 or all 60,000 images, or the detectors of the demo on scenes')
    parser.add_argument('--data', help='a folder with the four files of Fashion-MNIST, gzipped or not')
    parser.add_argument('--docs', type=Path, help='a folder with demo.md, demo_detection.md; their tables are filled')
    parser.add_argument('--workers', type=int, default=1, help='how many trainings run at once, a thread each')
    args = parser.parse_args()
    with one_line_errors():
        images = prepare_fashion_mnist('data/fashion_mnist', args.data)
        if args.setting == 'scenes':
            make_fashion_scenes('data/fashion_scenes', images)
        compare_methods(
            args.out or Path('work_dirs/methods') / args.setting, args.workers, args.docs,
            args.setting.replace('-', ' '))


if __name__ == '__main__':
    main()
