"""Every picture in README and docs has the command that made it beside it."""

import re

import pytest
from conftest import ROOT
from snippets import PAGES

PICTURES = [
    (page, match[1], text[max(0, match.start() - 1500):match.end() + 700])
    for page in PAGES for text in [page.read_text()] for match in re.finditer(r'\]\(([\w./-]+\.png)\)', text)]


@pytest.mark.parametrize(('page', 'picture', 'around'), PICTURES, ids=[picture for _, picture, _ in PICTURES])
def test_a_picture_exists_and_names_the_command_that_made_it(page, picture, around):
    assert (page.parent / picture).is_file()
    tools = re.findall(r'Made by `python (tools/\w+\.py)[^`]*`', around)
    assert tools, f'{page.name}: {picture} has no "Made by `python tools/...`" beside it'
    assert all((ROOT / tool).is_file() for tool in tools)
