"""Exceptions for bad user input, and the checks that raise them.

A message names the config key or file, what was found there, and what would be right.
"""

import contextlib
import difflib
import functools
import inspect
import logging
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# In the message of an error that a worker process of a data loader raised.
_OF_A_WORKER = 'Original Traceback (most recent call last)'


class ConfigError(ValueError):
    """A setting in a config or on a command line is invalid."""


class TapError(ConfigError):
    """A tap names no module, or a module whose output is no feature map."""


class CheckpointError(ConfigError):
    """A checkpoint is missing, damaged, unsafe, or does not fit its model."""


class DivergenceError(CheckpointError):
    """The losses or weights of a training are no longer finite."""


def did_you_mean(name: str, known: Iterable[str], most: int = 3) -> str:
    """Suggest close matches of an unknown name for an error message, or list the known names if none is close.

    Args:
        name (str): The unknown name.
        known (Iterable[str]): The known names.
        most (int): Maximum number of close matches. Defaults to 3.

    Returns:
        str: ``"did you mean 'a' or 'b'?"`` or ``"known: 'a', 'b', 'c'"``, with at most 20 known names.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=most, cutoff=0.5)
    return f'did you mean {" or ".join(map(repr, near))}?' if near else f'known: {", ".join(map(repr, known[:20]))}'


def check_keys(cfg: dict, allowed: Iterable[str], where: str) -> None:
    """Raise an error if a config dict has unknown keys.

    Args:
        cfg (dict): The config dict.
        allowed (Iterable[str]): The known keys; ``_scope_`` is always allowed.
        where (str): The name of the dict, for the message.

    Raises:
        ConfigError: If ``cfg`` is no dict, or has a key that is not allowed.
    """
    allowed = [*allowed]
    if not isinstance(cfg, dict):
        raise ConfigError(f'{where} must be a dict with the keys {allowed}, but is {cfg!r}')
    for key in cfg:
        if key not in allowed and key != '_scope_':
            raise ConfigError(f'{where} has an unknown key {key!r}: {did_you_mean(str(key), allowed)}')


def strict_keys(cls: type) -> type:
    """Class decorator: raise a :class:`ConfigError` that names an unknown or missing argument."""
    init = cls.__init__
    parameters = [
        parameter for name, parameter in inspect.signature(init).parameters.items()
        if name != 'self' and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)]
    allowed = [parameter.name for parameter in parameters]
    needed = [parameter.name for parameter in parameters if parameter.default is parameter.empty]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        where = f"dict(type='{cls.__name__}')"
        check_keys(kwargs, allowed, where)
        missing = [name for name in needed[len(args):] if name not in kwargs]
        if missing:
            raise ConfigError(f'{where} lacks {", ".join(map(repr, missing))}')
        init(self, *args, **kwargs)

    cls.__init__ = checked
    return cls


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Context manager of the tools: an error ends the program with one line on stderr.

    Bad input (:class:`ConfigError`) and errors of the file system exit with code 2, Ctrl-C with 130. Any other error
    exits with 1; the line then names a file with the traceback. Loggers print no tracebacks of lines that they could
    not write, as on a full disk.
    """
    code, verbose, logging.raiseExceptions = 2, logging.raiseExceptions, False
    try:
        yield
    except ConfigError as error:
        message = in_one_line(error)
    except KeyboardInterrupt:
        message, code = 'interrupted', 130
    except Exception as error:
        if isinstance(error, OSError) and error.strerror is not None:
            message = error.strerror + (f': {str(error.filename)!r}' if error.filename is not None else '')
        else:
            message, code = f'{described(error)}{_kept_traceback(error)}', 1
    else:
        return
    finally:
        logging.raiseExceptions = verbose
    print(f'error: {message}', file=sys.stderr)
    sys.exit(code)


def in_one_line(error: Exception) -> str:
    """Return the message of an error; of one that a worker of a data loader raised, only the message of its cause."""
    message = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if _OF_A_WORKER in message:
        message = message.strip().splitlines()[-1].partition(': ')[2]
    return message


def described(error: Exception) -> str:
    """Describe an error that was not foreseen: its type, its message and the line of code that raised it."""
    frame, line = list(traceback.walk_tb(error.__traceback__))[-1]
    place = '/'.join(Path(frame.f_code.co_filename).parts[-3:])
    message = ' '.join(in_one_line(error).split()) or 'no message'
    return f'{type(error).__name__}: {message:.300} ({place}:{line})'


def _kept_traceback(error: Exception) -> str:
    text = ''.join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
                'w', encoding='utf-8', prefix='mmreviewkd-', suffix='.log', delete=False) as file:
            file.write(text)
    except OSError:  # no disk to keep it on
        sys.stderr.write(text)
        return ''
    return f'; the traceback is in {file.name}'
