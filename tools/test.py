"""Test a checkpoint of what a config describes; of a distillation, the student."""

import argparse
import os

from mmengine.config import DictAction

from mmreviewkd.apis import test
from mmreviewkd.utils.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a config file, or package::path/of/config.py')
    parser.add_argument('checkpoint', help='the path or URL of a checkpoint')
    parser.add_argument('--work-dir', help='where logs go')
    parser.add_argument('--out', help='a .pkl file for the predictions')
    parser.add_argument('--show-dir', help='a folder for drawn predictions')
    parser.add_argument('--tta', action='store_true', help="average over the augmentations of the config's tta_model")
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
        test(
            args.config, args.checkpoint, work_dir=args.work_dir, out=args.out, show_dir=args.show_dir, tta=args.tta,
            cfg_options=args.cfg_options, launcher=args.launcher)


if __name__ == '__main__':
    main()
