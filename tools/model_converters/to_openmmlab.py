"""Convert published weights (of CRD, torchvision, ...) to a checkpoint of a config's model."""

import argparse

from mmreviewkd.apis import convert_checkpoint
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config of the same network: a file, or package::path/of/config.py')
    parser.add_argument('checkpoint', help='the path or URL of the published weights')
    parser.add_argument('out', help='the file to write')
    args = parser.parse_args()
    with one_line_errors():
        print(convert_checkpoint(args.config, args.checkpoint, args.out))


if __name__ == '__main__':
    main()
