"""Write values of a config as readable Python code."""

import ast
import inspect
import keyword
import math
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from .errors import ConfigError

_WIDTH = 120


class Code(str):
    """An expression that is written as it is, such as ``_base_.model``."""

    __repr__ = str.__str__


def as_code(value: Any, indent: int = 0, column: int = 0) -> str:
    """Write a value of a config as Python code; what does not fit on a line gets a line for each of its items.

    Args:
        value (Any): Dicts, lists and tuples of strings, numbers, booleans, None and :class:`Code`.
        indent (int): Indentation of the line the value stands on, in spaces. Defaults to 0.
        column (int): Column at which the value starts. Defaults to 0.
    """
    if not isinstance(value, (dict, list, tuple)):
        return f"float('{value}')" if _is_infinite_or_nan(value) else repr(value)
    named = isinstance(value, dict) and all(isinstance(key, str) and key.isidentifier() for key in value)
    if named:
        opening, closing, prefixes = 'dict(', ')', [f'{key}=' for key in value]
    elif isinstance(value, dict):
        opening, closing, prefixes = '{', '}', [f'{key!r}: ' for key in value]
    else:
        opening, closing, prefixes = '[', ']', [''] * len(value)
    items = list(value.values()) if isinstance(value, dict) else value
    line = opening + ', '.join(prefix + as_code(item, 0, -10**6) for prefix, item in zip(prefixes, items)) + closing
    if isinstance(value, tuple):
        line = f'({line[1:-1]}{"," * (len(value) == 1)})'
        opening, closing = '(', ',)'
    if column + len(line) <= _WIDTH - 2 and '\n' not in line:
        return line
    inner = indent + 4
    lines = [
        ' ' * inner + prefix + as_code(item, inner, inner + len(prefix)) for prefix, item in zip(prefixes, items)]
    return opening + '\n' + ',\n'.join(lines) + closing


def config_text(values: Mapping) -> str:
    """Write a whole config as MMEngine does, but only if Python can read it back.

    Args:
        values (Mapping): The config's values by top-level key.

    Returns:
        str: The content of a config file.

    Raises:
        ConfigError: If a key or a value cannot be written as Python code.
    """
    for name in values:
        if not name.isidentifier():
            raise ConfigError(f'config: {name!r} cannot be written as Python code; a top-level key must be a name')
    return Config(_writable(with_names(values), '')).pretty_text


def with_names(node: Any) -> Any:
    """Copy a config with the dotted names of classes and functions, which pure Python configs hold themselves.

    Args:
        node (Any): A config, or a part of one.
    """
    if isinstance(node, Mapping):
        return type(node)({key: with_names(value) for key, value in node.items()})
    if isinstance(node, (list, tuple)):
        return type(node)(map(with_names, node))
    if inspect.isclass(node) or inspect.isroutine(node):
        return f'{node.__module__}.{node.__qualname__}'
    return node


def _writable(node: Any, where: str) -> Any:
    """Copy a config so that MMEngine writes infinity and NaN as code; refuse values that have no literal."""
    if isinstance(node, Mapping):
        for name in node:
            if isinstance(name, str) and (keyword.iskeyword(name) or repr(name) != f"'{name}'"):
                raise ConfigError(
                    f'config: {where}{name!r} cannot be written as Python code; use a key without quotes and '
                    'backslashes that is no word of Python')
        return type(node)({name: _writable(value, f'{where}{name}.') for name, value in node.items()})
    if isinstance(node, (list, tuple)):
        return type(node)(_writable(item, f'{where}{i}.') for i, item in enumerate(node))
    if _is_infinite_or_nan(node):
        return Code(as_code(node))
    try:
        ast.literal_eval(repr(node) if isinstance(node, str) else str(node))
    except (SyntaxError, ValueError):
        raise ConfigError(
            f'config: {where.rstrip(".")} is {node!r:.80}, which cannot be written as Python code; give text, a '
            'number, True, False, None, or a list or dict of these') from None
    return node


def _is_infinite_or_nan(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
