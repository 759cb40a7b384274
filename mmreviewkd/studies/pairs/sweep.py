"""Try pairs one after the other, and report the outcomes as a table."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from mmreviewkd.studies.output import check_marks, fill_marks, write_json
from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.progress import tracked

from .families import Network
from .trial import Outcome, try_pair

_BEGIN, _END = '<!-- pairs -->', '<!-- end -->'


def sweep(pairs: Sequence[tuple[Network, Network]], file: Path | None = None) -> Iterable[Outcome]:
    """Try pairs one after the other.

    Args:
        pairs (Sequence[tuple[Network, Network]]): Student and teacher of each.
        file (Path, optional): A JSON file that keeps the outcomes; pairs in it are not tried again. Defaults to None.

    Yields:
        Outcome: The outcome of the next pair.

    Raises:
        ConfigError: If the file holds anything else.
    """
    done = _read(file) if file and file.exists() else []
    known = {(outcome.student, outcome.teacher): outcome for outcome in done}
    for student, teacher in tracked(pairs, f'{len(pairs)} pairs', len(pairs)):
        key = (student.name, teacher.name)
        if key not in known:
            known[key] = try_pair(student, teacher)
            if file:
                write_json([asdict(outcome) for outcome in known.values()], file)
        yield known[key]


def _read(file: Path) -> list[Outcome]:
    try:
        return [Outcome(**entry) for entry in json.loads(file.read_text(encoding='utf-8'))]
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f'--json: {str(file)!r} holds no outcomes of a sweep ({error}); name another file, or remove it') from error


def summary(outcomes: Sequence[Outcome]) -> str:
    """The share of the pairs that pass every check, as a sentence."""
    passed = sum(not outcome.failed for outcome in outcomes)
    return f'{passed} of {len(outcomes)} pairs pass every check ({100 * passed / max(1, len(outcomes)):.1f} %).'


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as Markdown."""
    rows = [f'| {o.student} | {o.teacher} | {o.levels or ""} | {_cell(o.failed) or "passes"} |' for o in outcomes]
    head = ['| student | teacher | levels | outcome |', '|---|---|---|---|']
    return '\n'.join(['', summary(outcomes), '', *head, *rows, ''])


def check_page(page: Path) -> None:
    """Refuse a page that :func:`write_table` cannot fill, before any pair is tried."""
    check_marks(page, [_BEGIN], _END)


def write_table(outcomes: Sequence[Outcome], page: Path) -> None:
    """Write the table into a Markdown page, between its marks.

    Args:
        outcomes (Sequence[Outcome]): The outcomes.
        page (Path): The page.

    Raises:
        ConfigError: If the page has no such marks.
    """
    fill_marks(page, {_BEGIN: table(outcomes)}, _END)


def _cell(text: str) -> str:
    return text.replace('|', '\\|').replace('<', '&lt;')
