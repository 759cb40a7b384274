"""Errors that name the config key or file, what was found there, and what would be right."""

import contextlib
import difflib
import functools
import inspect
import sys
from collections.abc import Iterable, Iterator


class ConfigError(ValueError):
    """Something the user wrote in a config or on a command line cannot work."""


class TapError(ConfigError):
    """A tap names no module, or a module that gives no feature map."""


class CheckpointError(ConfigError):
    """A checkpoint is missing, damaged, unsafe, or does not fit its model."""


def did_you_mean(name: str, known: Iterable[str], most: int = 3) -> str:
    """A sentence part that lists the names nearest to ``name``, or all of them if none is near.

    Args:
        name (str): What was written.
        known (Iterable[str]): What could have been meant.
        most (int): How many near matches are listed at the most. Defaults to 3.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=most, cutoff=0.5)
    return f'did you mean {" or ".join(map(repr, near))}?' if near else f'known: {", ".join(map(repr, known[:20]))}'


def check_keys(cfg: dict, allowed: Iterable[str], where: str) -> None:
    """Refuse keys of a config dict that nothing reads.

    Args:
        cfg (dict): The config dict.
        allowed (Iterable[str]): The keys it may have.
        where (str): The name of the dict in the config, for the message.

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
    """Class decorator: an unknown or missing argument raises a :class:`ConfigError` that names it."""
    init = cls.__init__
    parameters = [
        parameter for name, parameter in inspect.signature(init).parameters.items()
        if name != 'self' and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)]
    allowed = [parameter.name for parameter in parameters]
    needed = [parameter.name for parameter in parameters if parameter.default is parameter.empty]

    @functools.wraps(init)
    def checked(self, *args, **kwargs):
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
    """End the process with one line and exit code 2 if the user's input or a file is at fault."""
    try:
        yield
    except ConfigError as error:
        message = str(error)
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        file = f': {str(error.filename)!r}' if error.filename is not None else ''
        message = f'{error.strerror or type(error).__name__}{file}'
    else:
        return
    print(f'error: {message}', file=sys.stderr)
    sys.exit(2)
