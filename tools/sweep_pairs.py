"""Try pairs of mmpretrain's and mmdet's own configs with taps='auto', and report which of them work."""

import argparse
from pathlib import Path

from mmreviewkd.studies.pairs.families import pairs_of
from mmreviewkd.studies.pairs.sweep import check_page, summary, sweep, write_table
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'families', nargs='*',
        help='families such as resnet, swin or rtmdet, or package::path/of/config.py; each is paired with each of the '
             'same package. Without any, all families learn from a ResNet or Faster R-CNN and teach a MobileNetV2 or '
             'RetinaNet')
    parser.add_argument(
        '--teachers', nargs='+', default=[], metavar='FAMILY', help='teachers of the families, instead of each other')
    parser.add_argument('--json', type=Path, help='a file that keeps the outcomes, so that a stopped sweep goes on')
    parser.add_argument('--page', type=Path, help='a Markdown page whose table is replaced, such as docs/pairs.md')
    args = parser.parse_args()
    with one_line_errors():
        if args.page:
            check_page(args.page)
        outcomes = []
        for outcome in sweep(pairs_of(args.families, args.teachers), args.json):
            outcomes.append(outcome)
            print(f'{outcome.student} <- {outcome.teacher}: {outcome.failed or f"{outcome.levels} levels"}', flush=True)
        print(summary(outcomes))
        if args.page:
            write_table(outcomes, args.page)


if __name__ == '__main__':
    main()
