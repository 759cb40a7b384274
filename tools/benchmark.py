"""Measure a training step with Knowledge Review: time, bytes kept for the backward pass, and FLOPs.

All steps are timed in turn in one process, and reported as ratios to the floor: the teacher's forward pass in eval mode
and the student's forward and backward pass with its own loss, by plain modules, in the faster of the two memory
formats. The optimizer step is not included. With --rounding the errors of the gradients are measured instead.
"""

import argparse
from pathlib import Path

import torch
from mmengine.logging import MMLogger

from mmreviewkd.apis.arguments import positive
from mmreviewkd.studies.benchmark.cases import PAIRS, PYRAMIDS, steps_of_run
from mmreviewkd.studies.benchmark.measuring import machine, measure
from mmreviewkd.studies.benchmark.report import (
    check_page,
    fill_page,
    fill_rounding,
    rounding_table,
    run_summary,
    summary,
    table,
)
from mmreviewkd.studies.benchmark.rounding import rounding_of
from mmreviewkd.studies.benchmark.steps import PRECISIONS, steps_of
from mmreviewkd.studies.output import write_json
from mmreviewkd.utils.errors import one_line_errors
from mmreviewkd.utils.progress import tracked


def _device(name: str) -> torch.device:
    try:
        return torch.zeros(0, device=name).device
    except (AssertionError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f'{name!r} is no device of this machine ({reason:.120})') from None


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pair', nargs='+', choices=[*PAIRS, *PYRAMIDS], default=[*PAIRS, *PYRAMIDS], metavar='NAME',
                        help=f'any of {", ".join([*PAIRS, *PYRAMIDS])}; default: all')
    parser.add_argument('--config', nargs='+', default=[], metavar='FILE',
                        help='measure these distillation configs instead, each on a batch of its own training data, '
                             'and print what its whole run costs and saves')
    parser.add_argument('--runs', type=positive, default=7, help='how often to time each step')
    parser.add_argument('--rounding', action='store_true',
                        help='measure the largest errors of gradients against double precision, instead of times')
    parser.add_argument('--batch-size', type=positive, help='images of a step of a pair; default: its own')
    parser.add_argument('--precision', choices=PRECISIONS, default='fp32',
                        help='fp16 and bf16 under autocast; tf32 on a GPU; default: fp32')
    parser.add_argument('--compile', action='store_true',
                        help='measure steps with teacher, plain connector and HCL compiled by torch.compile, too')
    parser.add_argument('--json', type=Path, help='write the results to this file, after every pair')
    parser.add_argument('--page', type=Path, help='put tables and plot into this page, between its marks')
    parser.add_argument('--device', type=_device, default='cuda' if torch.cuda.is_available() else 'cpu')
    args = parser.parse_args()
    if args.rounding and (args.batch_size or args.precision != 'fp32' or args.compile):
        parser.error(
            '--rounding measures the batches of the pairs in fp32, without --batch-size, --precision and --compile')
    if args.config and args.batch_size:
        parser.error('--batch-size is for pairs; a config is measured with its own, train_dataloader.batch_size')
    if args.precision == 'tf32' and args.device.type != 'cuda':
        parser.error(f'--precision tf32 is for CUDA devices, but --device is {args.device}')
    return args


def main() -> None:
    args = parse_args()
    if args.page:
        check_page(args.page, args.rounding)
    MMLogger.get_instance('benchmark', log_level='ERROR')
    (measure_rounding if args.rounding else measure_steps)(args)


def measure_steps(args: argparse.Namespace) -> None:
    setting = dict(machine(args.device), precision=args.precision)
    if args.batch_size:
        setting['batch size'] = args.batch_size
    result = dict(machine=setting, runs=args.runs, pairs={})
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = args.precision == 'tf32'
    names = args.config or args.pair
    for name in tracked(names, f'{len(names)} pairs', len(names)):
        rows = result['pairs'][name] = measure(
            steps_of(name, args.device, args.batch_size, args.precision, args.compile), args.runs, args.device)
        print(table(name, rows), flush=True)
        if args.config:
            print(run_summary(rows, steps_of_run(name)), flush=True)
        if args.json:
            write_json(result, args.json)
    print(summary(result['pairs']))
    if args.page:
        fill_page(result, args.page)


def measure_rounding(args: argparse.Namespace) -> None:
    result = dict(machine=machine(args.device), rounding={})
    for name in args.config or args.pair:
        result['rounding'][name] = rounding_of(name, args.device)
        print(rounding_table(dict([[name, result['rounding'][name]]])), flush=True)
        if args.json:
            write_json(result, args.json)
    if args.page:
        fill_rounding(result, args.page)


if __name__ == '__main__':
    with one_line_errors():
        main()
