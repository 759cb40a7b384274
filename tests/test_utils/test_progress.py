"""Progress bars are shown at a terminal only, and never get in the way."""

import io

import pytest

from mmreviewkd.utils import progress as module
from mmreviewkd.utils.progress import progress, tracked


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_the_share_that_is_done_and_the_time_left(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr('sys.stderr', terminal)
    with progress('outer', 4) as outer:
        outer(1)
        with progress('inner', 2) as inner:
            inner(1)
    shown = terminal.getvalue()
    assert 'outer' in shown and 'inner' in shown and '25%' in shown and '50%' in shown and 'left' in shown


def test_without_a_terminal_nothing_is_written(capfd):
    with progress('work') as done:
        done(0.5)
    assert list(tracked('abc', 'letters', 3)) == ['a', 'b', 'c']
    assert capfd.readouterr() == ('', '')


def test_a_display_ends_with_its_block_even_after_an_error():
    for _ in range(2):
        with pytest.raises(KeyError), progress('outer'), progress('inner'):
            raise KeyError
        assert module._display is None
