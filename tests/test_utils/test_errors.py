"""Messages about bad input name what was found and what would be right."""

import copy
import inspect
import pickle

import pytest
import torch

from mmreviewkd.utils import CheckpointError, ConfigError, TapError
from mmreviewkd.utils.errors import check_keys, did_you_mean, one_line_errors, strict_keys


@strict_keys
class Part:
    """A component."""

    def __init__(self, width: int, depth: int = 3) -> None:
        self.width, self.depth = width, depth


@pytest.mark.parametrize(('name', 'expected'), [
    ('bakcbone', "did you mean 'backbone'?"), ('layer', "did you mean 'layer2' or 'layer1'?"),
    ('xyz', "known: 'backbone', 'layer1', 'layer2'")])
def test_close_matches_are_suggested_or_all_names_listed(name, expected):
    assert did_you_mean(name, iter(['backbone', 'layer1', 'layer2'])) == expected


def test_lists_of_names_are_cut():
    names = [f'name{i:03}' for i in range(100)]
    assert did_you_mean('zzz', names).count("'name") == 20
    assert did_you_mean('name0', names, most=2).count("'name") == 2


def test_unknown_keys_are_refused_by_name():
    check_keys(dict(taps=[], _scope_='mmdet'), ['taps', 'model'], 'student')
    with pytest.raises(ConfigError, match=r"student has an unknown key 'tabs': did you mean 'taps'\?"):
        check_keys(dict(tabs=[]), ['taps', 'model'], 'student')
    with pytest.raises(ConfigError, match=r"student must be a dict with the keys \['taps'\], but is 'neck'"):
        check_keys('neck', ['taps'], 'student')


def test_unknown_settings_of_a_component_are_refused_before_it_is_built():
    part = Part(1, depth=2)
    assert (part.width, part.depth) == (1, 2)
    with pytest.raises(ConfigError, match=r"dict\(type='Part'\) has an unknown key 'widht': did you mean 'width'\?"):
        Part(widht=1)
    with pytest.raises(ConfigError, match=r"dict\(type='Part'\) lacks 'width'"):
        Part()


def test_a_checked_component_stays_an_ordinary_class():
    assert list(inspect.signature(Part).parameters) == ['width', 'depth']
    for other in (copy.deepcopy(Part(1)), pickle.loads(pickle.dumps(Part(1)))):
        assert (type(other), other.width) == (Part, 1)


@pytest.mark.parametrize('error', [ConfigError, TapError, CheckpointError])
def test_bad_input_ends_a_tool_with_one_line(error, capsys):
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error('taps: no such module')
    assert ended.value.code == 2
    assert capsys.readouterr().err == 'error: taps: no such module\n'


def test_the_traceback_of_an_error_that_was_not_foreseen_is_kept_in_a_file(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise ValueError('a\n  bug')
    assert ended.value.code == 1
    file, = tmp_path.iterdir()
    line = test_the_traceback_of_an_error_that_was_not_foreseen_is_kept_in_a_file.__code__.co_firstlineno + 3
    assert capsys.readouterr().err == (
        f'error: ValueError: a bug (tests/test_utils/test_errors.py:{line}); the traceback is in {file}\n')
    assert 'Traceback (most recent call last)' in file.read_text()


def test_a_traceback_that_cannot_be_kept_is_shown(capsys, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', '/nowhere')
    with pytest.raises(SystemExit), one_line_errors():
        raise ValueError('a bug')
    assert 'Traceback (most recent call last)' in capsys.readouterr().err


def test_of_an_error_in_a_worker_only_the_cause_is_told(capsys):
    class Failing(torch.utils.data.Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            raise ConfigError('sample 1: damaged')

    with pytest.raises(SystemExit), one_line_errors():
        list(torch.utils.data.DataLoader(Failing(), num_workers=1))
    assert capsys.readouterr().err == 'error: sample 1: damaged\n'


def test_ctrl_c_ends_a_tool_with_one_line(capsys):
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise KeyboardInterrupt
    assert (ended.value.code, capsys.readouterr().err) == (130, 'error: interrupted\n')
