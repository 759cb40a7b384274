"""Train what a config describes: a distillation, or a model on its own."""

import argparse
import os

from mmengine.config import DictAction

from mmreviewkd.apis import train
from mmreviewkd.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a config file, or package::path/of/config.py')
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        '--resume', nargs='?', const=True, default=False,
        help='go on from this checkpoint, or without a path from the latest one in the work dir')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help="scale the learning rate by the config's auto_scale_lr")
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate while training')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help="settings that replace the config's: a.b=1 c='[2,3]'")
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    with one_line_errors():
        train(
            args.config, work_dir=args.work_dir, resume=args.resume, amp=args.amp, auto_scale_lr=args.auto_scale_lr,
            validate=not args.no_validate, cfg_options=args.cfg_options, launcher=args.launcher)


if __name__ == '__main__':
    main()
