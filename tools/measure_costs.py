"""Measure the constants of the cost model by which ReviewConnector chooses how to compute a level.

Prints, for this machine, the measured constants beside those in use, and measured times beside predicted ones.
"""

import argparse

from mmengine.logging import MMLogger

from mmreviewkd.apis.arguments import positive
from mmreviewkd.studies.costs import report
from mmreviewkd.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--runs', type=positive, default=5, help='how often each step is timed')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('measure_costs', log_level='ERROR')
    print(report(args.runs))


if __name__ == '__main__':
    with one_line_errors():
        main()
