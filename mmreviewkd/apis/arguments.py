"""Command line options that training and testing share."""

import argparse
import os

from mmengine.config import DictAction


def parse_run_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add the shared options to a parser and parse the command line; sets ``LOCAL_RANK`` for the launcher.

    Args:
        parser (argparse.ArgumentParser): A parser with the tool's own arguments.
    """
    parser.add_argument('--work-dir', help='the folder for logs and checkpoints')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help="settings that override the config's: a.b=1 c='[2,3]'")
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args
