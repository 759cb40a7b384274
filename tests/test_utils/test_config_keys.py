"""Misspelt top-level keys are found, names of a config's own are not."""

import logging
import re
from pathlib import Path

import pytest
from conftest import ROOT, small_run
from mmengine.logging import MMLogger

from mmreviewkd.apis import build_runner
from mmreviewkd.utils.config_keys import misspelt_keys


@pytest.mark.parametrize(('key', 'meant'), [
    ('optim_wraper', 'optim_wrapper'), ('modle', 'model'), ('trian_cfg', 'train_cfg'), ('custom_hook', 'custom_hooks'),
    ('default_hook', 'default_hooks'), ('load_form', 'load_from'), ('val_dataloder', 'val_dataloader'),
    ('param_schedular', 'param_scheduler'), ('visualiser', 'visualizer'), ('randomnes', 'randomness'),
])
def test_near_matches_are_found(key, meant):
    assert misspelt_keys({key: 1}) == {key: meant}


def test_a_key_beside_the_one_it_resembles_is_a_variable():
    assert misspelt_keys(dict(models=1, model=2)) == {}
    assert misspelt_keys(dict(models=1, model=None)) == dict(models='model')


def test_no_config_of_ours_or_of_mmpretrain_is_suspected():
    zoo = Path(pytest.importorskip('mmpretrain').__file__).parent / '.mim' / 'configs'
    files = [*(ROOT / 'configs').rglob('*.py'), *zoo.rglob('*.py')]
    assert len(files) > 500
    for file in files:
        names = re.findall(r'^([A-Za-z_]\w*) *=', file.read_text(), re.MULTILINE)
        assert misspelt_keys(dict.fromkeys(names, 1)) == {}, file


def test_a_runner_warns_of_them(fashion_mnist, tmp_path, monkeypatch):
    cfg = small_run('resnet8.py', fashion_mnist, work_dir=str(tmp_path), optim_wraper=dict(type='OptimWrapper'))
    cfg.launcher = 'none'
    cfg.pop('optim_wrapper')
    cfg.train_dataloader = cfg.train_cfg = cfg.param_scheduler = None
    MMLogger.get_instance('keys', logger_name='keys')
    records = []
    monkeypatch.setattr(MMLogger, 'log', lambda self, level, message, *args, **kwargs: records.append((level, message)))
    build_runner(cfg)
    assert (logging.WARNING, "config: nothing reads the key 'optim_wraper'; did you mean 'optim_wrapper'?") in records
