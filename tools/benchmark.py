"""Measure a training step with Knowledge Review: time, bytes kept for the backward pass, and FLOPs.

All steps are timed in turn in one process, and reported as ratios to the floor: the teacher's forward pass in eval mode
and the student's forward and backward pass with its own loss, by plain modules, in the faster of the two memory
formats. The optimizer step is not included.
"""

import argparse
from pathlib import Path

import torch
from mmengine.logging import MMLogger

from mmreviewkd.studies.benchmark.cases import PAIRS, PYRAMIDS
from mmreviewkd.studies.benchmark.measuring import machine, measure
from mmreviewkd.studies.benchmark.report import fill_page, summary, table
from mmreviewkd.studies.benchmark.steps import steps_of
from mmreviewkd.studies.output import write_json
from mmreviewkd.utils.errors import one_line_errors
from mmreviewkd.utils.progress import tracked


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pair', nargs='+', choices=[*PAIRS, *PYRAMIDS], default=[*PAIRS, *PYRAMIDS], metavar='NAME',
                        help=f'any of {", ".join([*PAIRS, *PYRAMIDS])}; default: all')
    parser.add_argument('--config', nargs='+', default=[], metavar='FILE',
                        help='measure these distillation configs instead, each on a batch of its own training data')
    parser.add_argument('--runs', type=int, default=7, help='how often to time each step')
    parser.add_argument('--json', type=Path, help='write the results to this file, after every pair')
    parser.add_argument('--page', type=Path, help='put tables and plot into this page, between its marks')
    parser.add_argument('--device', type=torch.device, default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('benchmark', log_level='ERROR')
    result = dict(machine=machine(args.device), runs=args.runs, pairs={})
    names = args.config or args.pair
    for name in tracked(names, f'{len(names)} pairs', len(names)):
        rows = result['pairs'][name] = measure(steps_of(name, args.device), args.runs, args.device)
        print(table(name, rows), flush=True)
        if args.json:
            write_json(result, args.json)
    print(summary(result['pairs']))
    if args.page:
        fill_page(result, args.page)


if __name__ == '__main__':
    with one_line_errors():
        main()
