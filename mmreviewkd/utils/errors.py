"""Exceptions for bad user input, and the checks that raise them.

A message names the config key or file, what was found there, and what would be right.
"""

import contextlib
import difflib
import functools
import inspect
import sys
from collections.abc import Iterable, Iterator
from typing import Any


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
    """Context manager that turns a :class:`ConfigError` or an ``OSError`` into one line on stderr and exit code 2."""
    try:
        yield
    except ConfigError as error:
        message = str(error)
    except OSError as error:
        if error.strerror is None:
            raise
        message = error.strerror + (f': {str(error.filename)!r}' if error.filename is not None else '')
    else:
        return
    print(f'error: {message}', file=sys.stderr)
    sys.exit(2)
