"""Kill runs at random times, resume them, and compare their students bit for bit with those of uninterrupted runs."""

import argparse
import sys
import tempfile

from mmreviewkd.apis import read_config
from mmreviewkd.apis.arguments import positive
from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.studies.kill_test import CASES, kill_test, small_config
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kills', type=positive, default=6, help='number of runs to kill (default: %(default)s)')
    parser.add_argument(
        '--config', help='train this instead of the small built-in runs, which cover both training loops')
    parser.add_argument('--data-root', help="folder of Fashion-MNIST's extracted files (default: fetch them)")
    parser.add_argument('--out-dir', help='an empty folder for the work dirs (default: a temporary one)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments (default: %(default)s)')
    args = parser.parse_args()
    with one_line_errors(), tempfile.TemporaryDirectory() as scratch:
        if args.config:
            configs = {'config': read_config(args.config)}
        else:
            data_root = args.data_root or str(prepare_fashion_mnist('data/fashion_mnist'))
            configs = {name: small_config(data_root, **case) for name, case in CASES.items()}
        different = kill_test(configs, args.kills, args.out_dir or scratch, args.seed)
    print(f'{args.kills - different} of {args.kills} students equal that of the whole run bit for bit')
    sys.exit(different > 0)


if __name__ == '__main__':
    main()
