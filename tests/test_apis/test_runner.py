"""Configs are read with the command line's settings, and runners are built on the device that is there."""

import pytest
import torch
from conftest import small_run

from mmreviewkd.apis import build_runner, read_config
from mmreviewkd.engine.runner import ResumableRunner
from mmreviewkd.utils import ConfigError


@pytest.fixture
def config(tmp_path):
    (tmp_path / 'small.py').write_text('a = dict(b=1, c=2)\n')
    return str(tmp_path / 'small.py')


def test_options_override_the_config(config):
    cfg = read_config(config, cfg_options={'a.b': 3}, launcher='pytorch')
    assert (cfg.a.b, cfg.a.c, cfg.launcher) == (3, 2, 'pytorch')


@pytest.mark.parametrize(('key', 'value'), [('a.b.c', 3), ('list.5.x', 1), ('list.one', 1)])
def test_the_option_that_does_not_fit_is_named_alone(config, key, value):
    options = {'a.b': 3, 'list': [dict(x=0)], key: value, 'a.c': 4}
    with pytest.raises(ConfigError, match=rf'^--cfg-options: {key}={value} does not fit the config: '):
        read_config(config, cfg_options=options)


def test_options_apply_in_their_order(config):
    cfg = read_config(config, cfg_options={'a': dict(_delete_=True, d=1), 'a.e': 2, 'list': [dict(x=0)], 'list.0.y': 1})
    assert cfg.a.to_dict() == dict(d=1, e=2) and cfg.list[0].to_dict() == dict(x=0, y=1)


def test_the_work_dir_is_the_arguments_the_configs_or_named_after_it(config):
    assert read_config(config).work_dir == 'work_dirs/small'
    assert read_config(config, cfg_options=dict(work_dir='mine')).work_dir == 'mine'
    assert read_config(config, 'argument', dict(work_dir='mine')).work_dir == 'argument'


def test_a_reference_is_accepted_as_config():
    assert read_config('mmreviewkd::fashion_mnist/resnet8.py').model.backbone.depth == 8


def test_a_runner_is_built_from_a_config(fashion_mnist, tmp_path):
    cfg = small_run('resnet8.py', fashion_mnist, experiment_name='built', work_dir=str(tmp_path / 'new'))
    cfg.launcher = 'none'
    runner = build_runner(cfg)
    assert type(runner) is ResumableRunner
    assert runner.model.backbone.conv1.weight.shape == (8, 1, 3, 3)


def test_a_work_dir_that_cannot_be_written_to_is_named(config, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(ConfigError, match=r"work_dir: cannot write to '.*file/dir' \(Not a directory\).*--work-dir"):
        build_runner(read_config(config, str(tmp_path / 'file' / 'dir')))


@pytest.mark.skipif(torch.cuda.is_available(), reason='mixed precision works on a GPU')
def test_mixed_precision_without_an_accelerator_is_refused(config, tmp_path):
    with pytest.raises(ConfigError, match=r'--amp .* only a CPU is available'):
        build_runner(read_config(config, str(tmp_path), {'optim_wrapper.type': 'AmpOptimWrapper'}))
