"""Of a config's text, its data is kept."""

import pytest
from mmengine.config import Config

from mmreviewkd.utils.checkpoint.config_text import data_only


@pytest.mark.parametrize('text', [
    'import os', "__import__('os').system('x')", "a = __import__('os')", "a = dict(b=__import__('os').system('x'))",
    "a = [open('x')]", 'a = lambda: 1', 'a = [x for x in (1,)]', "a = f'{1}'", "a = dict(**print())", 'a[0] = 1',
    "_base_ = './evil.py'", "custom_imports = dict(imports=['evil'])", "env_variables = dict(PATH='x')",
    'class A: pass', 'with open("x"): pass', "a = '{{ $HOME:x }}'", 'a = (', 'a' * 2**21, 'a = ' + '(' * 10_000,
    'a: int = 1',
    'a = b = print()', 'a = print', 'a = 1 if print() else 2', "a = {**print()}", "a = {print(): 1}", 'a = -print()', 3,
    None, 'a = "\x00"', 'a = dict(print())', 'a = dict(**print())'])
def test_statements_other_than_assignments_of_literals_are_dropped(text):
    assert data_only(text) == ''
    assert data_only(f'b = 1\n{text}\nc = dict(d=[2])') in ('', 'b = 1\nc = dict(d=[2])')


def test_what_mmengine_writes_is_kept():
    cfg = Config(dict(
        model=dict(type='A', taps=['x', 'y'], scale=(1, -2.5), flag=True, none=None, nested=dict(a=dict(b=[{}]))),
        gpu_ids=[0, 1], title="it's", keys={'a.b': 1}))
    assert data_only(cfg.pretty_text) == cfg.pretty_text
