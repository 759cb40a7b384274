"""Write values of a config as readable Python code."""

from typing import Any

_WIDTH = 120


class Code(str):
    """An expression that is written as it is, such as ``_base_.model``."""


def as_code(value: Any, indent: int = 0, column: int = 0) -> str:
    """Write a value of a config as Python code; what does not fit on a line gets a line for each of its items.

    Args:
        value (Any): Dicts, lists and tuples of strings, numbers, booleans, None and :class:`Code`.
        indent (int): Indentation of the line the value stands on, in spaces. Defaults to 0.
        column (int): Column at which the value starts. Defaults to 0.
    """
    if isinstance(value, Code) or not isinstance(value, (dict, list, tuple)):
        return str(value) if isinstance(value, Code) else repr(value)
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
