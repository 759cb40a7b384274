"""Command-line options shared by training and testing."""

import argparse
import ast
import os
import re

from mmengine.config import DictAction


class ConfigOptions(DictAction):
    """Parse the ``key=value`` pairs of ``--cfg-options``; anything else is a usage error.

    Values are numbers, ``True``, ``None``, lists and tuples as MMEngine's ``DictAction`` reads them, or else text. Text
    in quotes, and text with spaces, stays as it is: ``"work_dir=my runs/1"``, ``"a='1,2'"``.
    """

    def __call__(
            self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: list[str],
            option_string: str | None = None) -> None:
        """Parse the pairs and merge them into those of the namespace."""
        for pair in values:
            key, separator, _ = pair.partition('=')
            if not separator or not all(part.strip() for part in key.split('.')):
                parser.error(f'{option_string}: {pair!r} is no setting of the form key=value, such as model.depth=18')
        options = dict(getattr(namespace, self.dest, None) or {})
        for pair in values:
            key, _, text = pair.partition('=')
            try:
                options[key] = _option(text)
            except (AssertionError, ValueError, SyntaxError) as error:
                parser.error(f'{option_string}: {pair}: {error}')
        setattr(namespace, self.dest, options)


def _option(text: str) -> object:
    """Read the value of an option: a number, flag, list, tuple or text."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in '\'"':
        inside = text[1:-1]
        if not inside.startswith(('[', '(')):
            return inside
        text = inside
    if not text.startswith(('[', '(')):
        # A space after a comma separates the items of a list.
        return text if ' ' in re.sub(r',\s+', ',', text) else DictAction._parse_iterable(text)
    if any(text.count(opening) != text.count(closing) for opening, closing in ('[]', '()')):
        raise ValueError('its brackets do not match')
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):  # with words that are not in quotes
        if re.search(r'[^\s,[(]\s+[^\s,\])]', text):
            raise ValueError('put the text with spaces in quotes') from None
        return DictAction._parse_iterable(text)
    return value if isinstance(value, (list, tuple)) else DictAction._parse_iterable(text)


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
