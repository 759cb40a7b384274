"""Generate the Fashion-MNIST scenes, a small COCO-format data set for detection and instance segmentation."""

import argparse

from mmreviewkd.apis.arguments import positive
from mmreviewkd.studies.fashion_mnist import prepare_fashion_mnist
from mmreviewkd.studies.fashion_scenes import make_fashion_scenes
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'out_dir', nargs='?', default='data/fashion_scenes', help='the folder to write, default %(default)s')
    parser.add_argument(
        '--raw', default='data/fashion_mnist', help='the folder of Fashion-MNIST, prepared if it is missing')
    parser.add_argument('--source', help='a folder with its four files; default: the Debian package or a download')
    parser.add_argument('--train', type=positive, default=4800, help='number of training scenes, default %(default)s')
    parser.add_argument(
        '--test', type=positive, default=300, help='number of test, and of validation, scenes, default %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='default %(default)s')
    args = parser.parse_args()
    with one_line_errors():
        raw = prepare_fashion_mnist(args.raw, args.source)
        made = make_fashion_scenes(args.out_dir, raw, args.train, args.test, args.seed)
    print(f'{args.out_dir}: {"written" if made else "already complete"}')


if __name__ == '__main__':
    main()
