"""Report a finished run: curves, beside those of the student alone, and the levels over time."""

import argparse
from pathlib import Path

from mmreviewkd.studies.run_report import run_report
from mmreviewkd.utils.errors import one_line_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', type=Path, help='the work dir of the run')
    parser.add_argument('--alone', type=Path, metavar='WORK_DIR', help='the work dir of the same student trained alone')
    parser.add_argument('--out', type=Path, metavar='DIR', help='the folder to write to; default: WORK_DIR/report')
    args = parser.parse_args()
    with one_line_errors():
        print(run_report(args.work_dir, args.alone, args.out))


if __name__ == '__main__':
    main()
