"""The hooks that a config drops from its base are found."""

import pytest
from mmengine.config import Config

from mmreviewkd.utils.config_bases import dropped_hooks

BASE = "custom_hooks = [dict(type='EMAHook'), dict(type='mmdet.PipelineSwitchHook', switch_epoch=1)]\n"
OTHER = 'train_cfg = dict(max_epochs=1)\n'


def found(folder, text):
    (folder / 'base.py').write_text(BASE)
    (folder / 'other.py').write_text(OTHER)
    (folder / 'own.py').write_text(text)
    return {key.rpartition('/')[2]: names for key, names in dropped_hooks(Config.fromfile(folder / 'own.py')).items()}


@pytest.mark.parametrize(('text', 'dropped'), [
    ("_base_ = 'base.py'\ncustom_hooks = [dict(type='MyHook')]", ['EMAHook', 'PipelineSwitchHook']),
    ("_base_ = ['other.py', 'base.py']\ncustom_hooks = []", ['EMAHook', 'PipelineSwitchHook']),
    ("_base_ = 'base.py'\ncustom_hooks = [dict(type='mmpretrain.EMAHook')]", ['PipelineSwitchHook']),
    ("_base_ = 'base.py'\ncustom_hooks = [*_base_.custom_hooks, dict(type='MyHook')]", None),
    ("_base_ = 'base.py'\ncustom_hooks = _base_.get('custom_hooks', [])", None),
    ("_base_ = 'base.py'\nwork_dir = 'x'", None),
    ("_base_ = 'other.py'\ncustom_hooks = [dict(type='MyHook')]", None),
    ("custom_hooks = [dict(type='MyHook')]", None),
], ids=range(8))
def test_a_list_replaces_that_of_the_base(tmp_path, text, dropped):
    assert found(tmp_path, text) == ({'base.py': dropped} if dropped else {})


PURE = '''
from mmengine.config import read_base
from mmengine.hooks import ProfilerHook

with read_base():
    from .base import *

custom_hooks = {}
'''


@pytest.mark.parametrize(('hooks', 'dropped'), [
    ('[dict(type=ProfilerHook)]', ['EMAHook', 'PipelineSwitchHook']),
    ('[*custom_hooks, dict(type=ProfilerHook)]', None)])
def test_a_pure_python_config_too(tmp_path, hooks, dropped):
    assert found(tmp_path, PURE.format(hooks)) == ({'base.py': dropped} if dropped else {})


def test_without_a_file_there_is_nothing_to_drop():
    assert dropped_hooks(Config(dict(custom_hooks=[]))) == {}
