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
