"""Write the model zoo of docs/model_zoo.md from the metafiles of the configs."""

import argparse
from pathlib import Path

from mmreviewkd.studies.model_zoo import fill_zoo
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--root', type=Path, default=Path(), help='the root of the repository; default: this folder')
    args = parser.parse_args()
    with one_line_errors():
        fill_zoo(args.root)


if __name__ == '__main__':
    main()
