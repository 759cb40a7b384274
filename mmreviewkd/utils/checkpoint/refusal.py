"""The reasons for which a checkpoint is refused."""

import contextlib
from collections.abc import Iterator


class Refusal(Exception):
    """Raised if a file is refused; the text continues a sentence that begins with the name of the file."""


def refuse_global(name: str) -> Refusal:
    """The refusal of a pickle that refers to a type or function that is not allowed.

    Args:
        name (str): Its dotted name.
    """
    return Refusal(
        f'holds more than data: it asks to load {name[:120]!r}, which could run code. Nothing was run. Ask its author '
        'for a file of tensors')


def unsupported(what: str) -> Refusal:
    """The refusal of a format that is recognized but not read.

    Args:
        what (str): The format, as in 'a TorchScript archive'.
    """
    return Refusal(
        f'is {what}: format not supported. Save a dict of tensors with torch.save(...) and its default settings')


def invalid(what: str) -> Refusal:
    """The refusal of content that ``torch.save`` never writes.

    Args:
        what (str): What was found.
    """
    return Refusal(f'holds invalid data, damaged or made to do harm: {what}. Nothing was run')


@contextlib.contextmanager
def expecting(what: str) -> Iterator[None]:
    """Turn errors that malformed arguments raise into a refusal.

    Args:
        what (str): What is built, for the message.
    """
    try:
        yield
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, RuntimeError) as error:
        reason = str(error).split('\n')[0][:120]
        raise invalid(f'{what} cannot be built ({reason})') from error
