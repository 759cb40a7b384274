"""A short form of the kill test, with processes that are really killed."""

import pytest

from mmreviewkd.studies.kill_test import CASES, kill_test, small_config
from mmreviewkd.utils.errors import ConfigError


def test_killed_runs_end_as_whole_ones(fashion_mnist, tmp_path):
    pytest.importorskip('mmpretrain')
    names = ['epochs, two workers', 'iterations']
    said = []
    configs = {name: small_config(str(fashion_mnist), **CASES[name]) for name in names}
    assert kill_test(configs, 2, str(tmp_path), seed=1, report=said.append) == 0, said
    assert sum('is equal' in line for line in said) == 2


def test_a_folder_of_earlier_runs_is_refused(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(ConfigError, match='is not empty'):
        kill_test({}, 1, str(tmp_path))
