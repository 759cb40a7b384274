"""The snippets of README and docs, and ways to run or dry-run them."""

import argparse
import itertools
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from conftest import ROOT

PAGES = sorted([
    ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *(ROOT / 'docs').rglob('*.md'), *ROOT.glob('configs/*/README.md')])
_FENCE = re.compile(r'^```(\w+)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r'(?:^    (?:make|python|pip) .*\n)+', re.MULTILINE)
# Programs that are not of this project; their commands are read, not run.
_OTHERS = ('mim', 'pip', 'pre-commit', 'tensorboard')


@dataclass(frozen=True)
class Snippet:
    """A block of code on a page: its text, its language and where it stands."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f'{self.page}:{self.line}'


def snippets(*languages: str) -> list[Snippet]:
    """All blocks of some languages on all pages; indented commands count as shell."""
    found = []
    for page in PAGES:
        text, name = page.read_text(), str(page.relative_to(ROOT))
        blocks = [(match.start(), match[1], match[2]) for match in _FENCE.finditer(text)]
        blocks += [(match.start(), 'shell', match[0]) for match in _INDENTED.finditer(_FENCE.sub(_blank, text))]
        found += [Snippet(name, text.count('\n', 0, start) + 1, language, block) for start, language, block in blocks]
    return [snippet for snippet in found if snippet.language in languages]


def _blank(match: re.Match) -> str:
    return re.sub(r'[^\n]', ' ', match[0])


def commands(shell: str) -> list[list[str]]:
    """The words of each command, without comments, variables before it, and brackets and ellipses that mark options."""
    lines = re.sub(r'\\\n\s*', ' ', shell).splitlines()
    found = [list(map(_without_brackets, shlex.split(line, comments=True))) for line in lines]
    programs = [list(itertools.dropwhile(re.compile(r'[A-Z_]+=').match, command)) for command in found]
    return [[word for word in command if word != '...'] for command in programs if command]


def _without_brackets(word: str) -> str:
    """Remove the brackets around optional words, but not those of a value such as ``a=[1,2]``."""
    while word.count('[') > word.count(']') and word.startswith('['):
        word = word[1:]
    while word.count(']') > word.count('[') and word.endswith(']'):
        word = word[:-1]
    return word[1:-1] if word.startswith('[') and word.endswith(']') and '=' not in word else word


class Parsed(BaseException):  # no error, so that the tools do not report it
    """Raised with the arguments once a tool has parsed its command line."""


def parsed_arguments(tool: Path, arguments: list[str]) -> argparse.Namespace:
    """Let a tool parse a command line, and stop it there."""
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *_: object) -> None:
        raise Parsed(parse(self, arguments))

    with mock.patch.object(argparse.ArgumentParser, 'parse_args', stop), \
            mock.patch.object(sys, 'argv', [str(tool), *arguments]):
        try:
            runpy.run_path(str(tool), run_name='__main__')
        except Parsed as parsed:
            return parsed.args[0]
    raise AssertionError(f'{tool} parsed no command line')


def run_in_this_process(command: list[str]) -> None:
    """Run ``python FILE ...`` without a process of its own, whose start would take longer than the command."""
    assert command[0] == 'python'
    with mock.patch.object(sys, 'argv', command[1:]):
        try:
            runpy.run_path(command[1], run_name='__main__')
        except SystemExit as end:
            assert not end.code, f'{" ".join(command)} ended with {end.code}'


def check_command(command: list[str]) -> argparse.Namespace | None:
    """Check that the program of a command exists and takes its arguments, without running it.

    Returns:
        argparse.Namespace or None: What a tool of this project has parsed.
    """
    program, *arguments = command
    if program == 'make':
        targets = re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
        assert [word for word in arguments if '=' not in word and word not in targets] == []
        return None
    if program.endswith('.sh'):
        subprocess.run(['bash', '-n', ROOT / program], check=True)
        return None
    if program in _OTHERS:
        return None
    assert program == 'python', f'{program} is no program that a page should start'
    if arguments[0] == '-c':
        compile(arguments[1], '-c', 'exec')
        return None
    if arguments[0] == '-m':
        assert arguments[1] == 'pytest' and all((ROOT / path).exists() for path in arguments[2:])
        return None
    assert (ROOT / arguments[0]).is_file(), f'there is no {arguments[0]}'
    return parsed_arguments(ROOT / arguments[0], arguments[1:])
