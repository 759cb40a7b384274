"""Command-line options shared by training and testing."""

import argparse
import os

from mmengine.config import DictAction


class ConfigOptions(DictAction):
    """Parse the ``key=value`` pairs of ``--cfg-options``; anything else is a usage error."""

    def __call__(
            self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: list[str],
            option_string: str | None = None) -> None:
        """Parse the pairs and merge them into those of the namespace."""
        for pair in values:
            key, separator, _ = pair.partition('=')
            if not separator or not all(part.strip() for part in key.split('.')):
                parser.error(f'{option_string}: {pair!r} is no setting of the form key=value, such as model.depth=18')
        try:
            super().__call__(parser, namespace, values, option_string)
        except (AssertionError, ValueError, SyntaxError) as error:
            parser.error(f'{option_string}: {error} ({" ".join(values)})')


def positive(text: str) -> int:
    """Read a positive integer from a command line; anything else is a usage error."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no positive integer')
    return int(text)


def parse_run_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Add the shared options to a parser and parse the command line; sets ``LOCAL_RANK`` for the launcher.

    Args:
        parser (argparse.ArgumentParser): A parser with the tool's own arguments.
    """
    parser.add_argument('--work-dir', help='the folder for logs and checkpoints')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, help="settings that override the config's: a.b=1 c='[2,3]'")
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args
