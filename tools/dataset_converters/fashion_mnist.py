"""Prepare Fashion-MNIST for the configs of `configs/fashion_mnist/`."""

import argparse

from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--source', help='a folder with the four files, gzipped or not')
    parser.add_argument('--out', default='data/fashion_mnist', help='the folder to write to')
    args = parser.parse_args()
    with one_line_errors():
        print(prepare_fashion_mnist(args.out, args.source))


if __name__ == '__main__':
    main()
