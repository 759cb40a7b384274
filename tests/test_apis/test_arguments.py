"""The options that training and testing share."""

import argparse
import os
import sys

import pytest

from mmreviewkd.apis.arguments import parse_run_arguments


@pytest.fixture
def parse(monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    # Set and removed again, so that the variable does not outlive the test.
    monkeypatch.setattr(os, 'environ', {**os.environ})

    def parse(*arguments):
        monkeypatch.setattr(sys, 'argv', ['tool', *arguments])
        parser = argparse.ArgumentParser()
        parser.add_argument('config')
        return parse_run_arguments(parser)
    return parse


def test_options_are_parsed_to_python_values(parse):
    args = parse('a.py', '--work-dir', 'dir', '--cfg-options', 'a.b=1', 'c=[2,3]', 'd=x')
    assert (args.config, args.work_dir, args.launcher) == ('a.py', 'dir', 'none')
    assert args.cfg_options == {'a.b': 1, 'c': [2, 3], 'd': 'x'}


@pytest.mark.parametrize(('text', 'value'), [
    ('runs/my first 1', 'runs/my first 1'), ("'my dir/a,1.pth'", 'my dir/a,1.pth'), ('my dir/a,1', 'my dir/a,1'),
    ('1, 2', [1, 2]), ('a,b', ['a', 'b']), ("'5'", '5'), ('"[1,2]"', [1, 2]), ('[a, b]', ['a', 'b']),
    ("['my dir', 2]", ['my dir', 2]), ('[(1, 2), x]', [(1, 2), 'x']), ('(1,)', (1,)), ('true', True), ('None', None),
    ('1e-3', 1e-3), ('https://host/a.pth', 'https://host/a.pth'), ('a[0]', 'a[0]')])
def test_text_keeps_its_spaces_and_lists_are_read(text, value, parse):
    assert parse('a.py', '--cfg-options', f'a={text}').cfg_options == {'a': value}


@pytest.mark.parametrize(('text', 'message'), [
    ('[1', 'its brackets do not match'), ('[my dir, 2]', 'put the text with spaces in quotes')])
def test_lists_that_cannot_be_read_are_refused(text, message, parse, capsys):
    with pytest.raises(SystemExit):
        parse('a.py', '--cfg-options', f'a={text}')
    assert f'--cfg-options: a={text}: {message}' in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--local_rank=3', '--local-rank=3'])
def test_the_local_rank_of_a_launcher_is_passed_on(option, parse):
    parse('a.py', option)
    assert os.environ['LOCAL_RANK'] == '3'


def test_a_local_rank_of_the_environment_has_precedence(parse):
    os.environ['LOCAL_RANK'] = '5'
    parse('a.py', '--local-rank=3')
    assert os.environ['LOCAL_RANK'] == '5'


def test_an_unknown_launcher_is_refused(parse, capsys):
    with pytest.raises(SystemExit):
        parse('a.py', '--launcher', 'ssh')
    assert "invalid choice: 'ssh'" in capsys.readouterr().err
