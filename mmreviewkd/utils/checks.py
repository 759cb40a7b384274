"""Checks of single config values: each returns the value, or raises a ConfigError that names its key."""

import difflib
import inspect
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from .errors import ConfigError, check_keys

_COMPILE_MODES = ('default', 'reduce-overhead', 'max-autotune', 'max-autotune-no-cudagraphs')
_LARGEST = torch.finfo(torch.float32).max


def number(
        value: Any, where: str, at_least: float | None = None, above: float | None = None,
        integer: bool = False) -> Any:
    """Check that a value is a number, finite in single precision, and not a boolean.

    Args:
        value (Any): What the config holds.
        where (str): The class and key, or the config key, for the message.
        at_least (float, optional): The smallest number allowed. Defaults to None.
        above (float, optional): The number must be greater than this one. Defaults to None.
        integer (bool): Whether it must be an integer. Defaults to False.

    Raises:
        ConfigError: If the value is not such a number.
    """
    kind = numbers.Integral if integer else numbers.Real
    fits = isinstance(value, kind) and not isinstance(value, bool) and abs(value) <= _LARGEST and (
        at_least is None or value >= at_least) and (above is None or value > above)
    if not fits:
        bound = f' of at least {at_least}' if at_least is not None else f' above {above}' if above is not None else ''
        raise ConfigError(f'{where} must be {"an integer" if integer else "a finite number"}{bound}, but is {value!r}')
    return value


def integers(value: Any, where: str, at_least: int) -> tuple[int, ...]:
    """Check for a list or tuple of integers.

    Args:
        value (Any): What the config holds.
        where (str): The class and key, for the message.
        at_least (int): The smallest integer allowed.

    Raises:
        ConfigError: If the value is not a list, or an entry is not such an integer.
    """
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f'{where} must be a list of integers of at least {at_least}, but is {value!r}')
    return tuple(
        number(entry, f'{where}[{i}]', at_least=at_least, integer=True) for i, entry in enumerate(value))


def flag(value: Any, where: str) -> bool:
    """Check for True or False.

    Raises:
        ConfigError: If it is neither.
    """
    if not isinstance(value, bool):
        raise ConfigError(f'{where} must be True or False, but is {value!r}')
    return value


def choice(value: Any, known: Iterable[str], where: str) -> str:
    """Check for one of several names.

    Raises:
        ConfigError: If it is none of them; the message suggests near matches.
    """
    known = [*known]
    if value not in known:
        *most, last = (repr(name) for name in known if name is not None)
        near = difflib.get_close_matches(value, filter(None, known), n=1) if isinstance(value, str) else []
        raise ConfigError(f'{where} must be {", ".join(most)} or {last}, but is {value!r}'
            + (f'; did you mean {near[0]!r}?' if near else ''))
    return value


def text(value: Any, where: str, meaning: str = 'a string') -> str | None:
    """Check for a non-empty string or None.

    Args:
        value (Any): What the config holds.
        where (str): The class and key, or the config key, for the message.
        meaning (str): What the string is, for the message. Defaults to 'a string'.

    Raises:
        ConfigError: If it is neither.
    """
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigError(f'{where} must be {meaning}, but is {value!r}')
    return value


def component(value: Any, where: str) -> dict | None:
    """Check for the config dict of a component, or None.

    Raises:
        ConfigError: If it is neither, or has no usable `type`.
    """
    if value is None:
        return None
    if not isinstance(value, dict) or 'type' not in value:
        raise ConfigError(f'{where} must be a dict with a `type`, or None, but is {value!r}')
    if not (isinstance(value['type'], str) and value['type']) and not callable(value['type']):
        raise ConfigError(f'{where}.type must be the name of a registered class, but is {value["type"]!r}')
    for key in value:
        if not isinstance(key, str):
            raise ConfigError(f'{where} has the key {key!r}, but keys must be strings')
    return value


def data_preprocessor_config(value: Any, where: str) -> dict | nn.Module | None:
    """Check for a config dict, a module or None.

    Raises:
        ConfigError: If it is none of them.
    """
    if value is not None and not isinstance(value, (dict, nn.Module)):
        raise ConfigError(f'{where} must be a dict, but is {value!r}')
    return value


def init_config(value: Any, where: str) -> dict | list | None:
    """Check for an ``init_cfg``: a dict with a `type`, a list of such dicts, or None.

    Raises:
        ConfigError: If it is none of them.
    """
    entries = value if isinstance(value, (list, tuple)) else [value]
    if value is not None and not all(isinstance(entry, dict) and 'type' in entry for entry in entries):
        raise ConfigError(f'{where} must be a dict with a `type` or a list of such dicts, but is {value!r}')
    return value


def tap_list(value: Any, where: str, logits: str | None = None) -> Sequence[str | dict]:
    """Check for a list of taps, and append the tap of the logits to it.

    Args:
        value (Any): What the config holds.
        where (str): The config key, for the message.
        logits (str, optional): The tap of the logits. Defaults to None.

    Raises:
        ConfigError: If the value is not a list, or the tap of the logits not a string.
    """
    text(logits, f"{where.partition('.')[0]}.logits", "the name of the module that gives the logits, such as 'head.fc'")
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where} must be a list of module names such as ['backbone', 'neck'], but is {value!r}")
    return [*value, *([logits] if logits else [])]


def compile_options(value: Any, where: str) -> dict | None:
    """Return the options of ``torch.compile``, or None if nothing is to be compiled.

    Args:
        value (Any): True, False, or a dict of the options.
        where (str): The config key, for messages.

    Raises:
        ConfigError: If it is neither, or ``torch.compile`` does not take such an option.
    """
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, dict):
        raise ConfigError(f'{where} must be True, False or a dict of the options of torch.compile, but is {value!r}')
    check_keys(value, [name for name in inspect.signature(torch.compile).parameters if name != 'model'], where)
    for key, item in value.items():
        _check_compile_option(key, item, f'{where}.{key}')
    if value.get('mode') is not None and value.get('options') is not None:
        raise ConfigError(f'{where}.mode and {where}.options are both given; keep one')
    return dict(value)


def _check_compile_option(key: str, value: Any, where: str) -> None:
    if key in ('fullgraph', 'disable') or (key == 'dynamic' and value is not None):
        flag(value, where)
    elif key == 'mode' and value is not None:
        choice(value, _COMPILE_MODES, where)
    elif key == 'options' and not (value is None or isinstance(value, dict)):
        raise ConfigError(f'{where} must be a dict, but is {value!r}')
    elif key == 'backend' and not isinstance(value, Callable):
        choice(value, torch.compiler.list_backends(exclude_tags=()), where)
