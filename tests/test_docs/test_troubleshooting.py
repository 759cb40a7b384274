"""The troubleshooting page lists every message that the package raises, and none that it does not have."""

import ast
import re

import pytest
from conftest import ROOT

PACKAGE = ROOT / 'mmreviewkd'
ERRORS = {
    'ConfigError', 'TapError', 'CheckpointError', 'DivergenceError', 'NoBatchError', 'Refusal', 'ImportError',
    'ValueError'}
PAGE = (ROOT / 'docs' / 'troubleshooting.md').read_text()
ROWS = re.findall(r'^\| `(.+?)`(?: \(warning\))? \| (.+) \| (.+) \|$', PAGE, re.MULTILINE)


def text_of(node: ast.AST) -> str:
    """A message as the page writes it: what is computed becomes an ellipsis."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return ''.join(value.value if isinstance(value, ast.Constant) else '…' for value in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # f'...'.rstrip()
        return text_of(node.func.value)
    return '…'


def parsed() -> list[ast.Module]:
    return [ast.parse(file.read_text()) for file in sorted(PACKAGE.rglob('*.py')) if '.mim' not in file.parts]


NODES = [node for tree in parsed() for node in ast.walk(tree)]


def raised(node: ast.AST) -> list[ast.expr]:
    """The message of an error that a statement raises or returns."""
    call = node.exc if isinstance(node, ast.Raise) else node.value if isinstance(node, ast.Return) else None
    found = isinstance(call, ast.Call) and getattr(call.func, 'id', '') in ERRORS
    return call.args[:1] if found else []


RAISED = sorted({text_of(message) for node in NODES for message in raised(node)})
WRITTEN = [text_of(node) for node in NODES if isinstance(node, (ast.JoinedStr, ast.BinOp, ast.Constant))]


def fits(pattern: str, text: str) -> bool:
    """Whether the parts of a pattern between its ellipses occur in a text in this order."""
    position = 0
    for part in filter(None, (part.strip() for part in pattern.split('…'))):
        position = text.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return True


def test_the_page_has_rows_with_cause_and_remedy():
    assert len(ROWS) > 100 and len({message for message, _, _ in ROWS}) == len(ROWS)
    assert all(cause.strip() and remedy.strip() for _, cause, remedy in ROWS)


@pytest.mark.parametrize('message', [message for message, _, _ in ROWS])
def test_every_listed_message_is_in_the_code(message):
    assert any(fits(message, text) for text in WRITTEN)


@pytest.mark.parametrize('text', [text for text in RAISED if re.search('[a-z]{6}', text)])
def test_every_raised_message_is_listed(text):
    assert any(fits(message, text) for message, _, _ in ROWS), text
