"""Versions that are too old, and what is missing, are named when the package is imported."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from mmreviewkd.utils import check_environment


def test_what_is_installed_works(recwarn):
    check_environment()
    assert not recwarn


@pytest.fixture
def pretend(monkeypatch):
    """Distributions of other versions than those installed."""
    installed = importlib.metadata.version

    def pretend(**versions):
        monkeypatch.setattr(
            importlib.metadata, 'version',
            lambda name: versions[name.replace('-', '_')] if name.replace('-', '_') in versions else installed(name))
    return pretend


@pytest.mark.parametrize('name', ['torch', 'mmcv', 'onedl-mmdetection'])
def test_a_distribution_too_old_is_named(name, pretend):
    pretend(**{name.replace('-', '_'): '0.9.1'})
    with pytest.raises(ImportError, match=rf'{name}>=.*, but 0.9.1 is installed'):
        check_environment()


def test_an_old_mmengine_is_named_with_what_to_install(pretend):
    pretend(mmengine='0.7.0')
    with pytest.raises(ImportError, match=r'pip install "mmengine>=0\.10\.0"'):
        check_environment()


def test_two_mmcv_in_one_environment_are_named(pretend):
    pretend(mmcv='2.1.0', mmcv_lite='2.1.0')
    with pytest.warns(UserWarning, match='mmcv and mmcv-lite are both installed .* pip uninstall mmcv mmcv-lite'):
        check_environment()


@pytest.mark.parametrize(('present', 'missing'), [([], 'torch'), (['torch'], 'mmengine')])
def test_what_is_missing_is_named_with_what_to_install(present, missing, tmp_path):
    for name in present:
        (tmp_path / name).symlink_to(Path(importlib.util.find_spec(name).origin).parent)
    done = subprocess.run(
        [sys.executable, '-S', '-c', 'import mmreviewkd.registry'], capture_output=True, text=True,
        env={**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{tmp_path}'})
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f'ImportError: mmreviewkd needs {missing}, which is not installed: pip install "{missing}>=')
