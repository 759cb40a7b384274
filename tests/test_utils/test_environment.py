"""Versions that are too old are named when the package is imported."""

import importlib.metadata

import mmengine
import pytest

from mmreviewkd.utils import check_environment


def test_what_is_installed_works():
    check_environment()


@pytest.mark.parametrize('name', ['torch', 'mmcv', 'onedl-mmdetection'])
def test_a_distribution_too_old_is_named(name, monkeypatch):
    installed = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, 'version', lambda asked: '0.9.1' if asked == name else installed(asked))
    with pytest.raises(ImportError, match=rf'{name}>=.*, but 0.9.1 is installed'):
        check_environment()


def test_an_old_mmengine_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(mmengine, '__version__', '0.7.0')
    with pytest.raises(ImportError, match=r'pip install "mmengine>=0\.10\.0"'):
        check_environment()
