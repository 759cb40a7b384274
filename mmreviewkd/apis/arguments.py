"""What all tools that run a config are told."""

import argparse
import os

from mmengine.config import DictAction


def parse_run_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add the options that training and testing share, and read the command line.

    Args:
        parser (argparse.ArgumentParser): Holds the tool's own arguments.
    """
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help="settings that replace the config's: a.b=1 c='[2,3]'")
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args
