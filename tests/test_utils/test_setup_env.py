"""The setup function that MMEngine calls before it builds a model of this package."""

import importlib

import pytest
from mmengine.registry import DefaultScope

from mmreviewkd.utils.setup_env import register_all_modules


@pytest.mark.parametrize('init_default_scope', [True, False])
def test_the_registry_module_is_imported(init_default_scope, monkeypatch):
    imported = []
    monkeypatch.setattr(importlib, 'import_module', imported.append)
    register_all_modules(init_default_scope)
    assert imported == ['mmreviewkd.registry']


def test_the_default_scope_is_left_to_the_config():
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        register_all_modules(init_default_scope=True)
        assert DefaultScope.get_current_instance().scope_name == 'mmpretrain'
