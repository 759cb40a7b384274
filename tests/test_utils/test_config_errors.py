"""Errors of components that MMEngine builds from configs."""

import os
import subprocess
import sys

import pytest
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, MODELS, OPTIMIZERS, Registry
from mmengine.runner import Runner

import mmreviewkd.models  # noqa: F401
from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.config_errors import build_errors_named, check_type

PARTS = Registry('part', scope='mmreviewkd')


@PARTS.register_module()
class Whole:
    """Builds its part."""

    def __init__(self, part):
        self.part = PARTS.build(part)


@PARTS.register_module()
class Failing:
    """Raises what it is given."""

    def __init__(self, error):
        raise error


def build_whole(error):
    return PARTS.build(dict(type='Whole', part=dict(type='Failing', error=error)))


def test_a_type_that_is_not_registered_gets_the_nearest_name_with_its_scope():
    message = r"^neck: ReviewConector is not in the .*model registry; did you mean 'mmreviewkd\.ReviewConnector'"
    with pytest.raises(ConfigError, match=message), build_errors_named('neck'):
        MODELS.build(dict(type='ReviewConector'))


def test_the_innermost_component_is_named_with_the_line_that_failed():
    line = Failing.__init__.__code__.co_firstlineno + 1
    message = rf'^model \(Failing\) cannot be built: ValueError: no width \(.*test_config_errors\.py:{line}\)$'
    with pytest.raises(ConfigError, match=message), build_errors_named('model'):
        build_whole(ValueError('no\n  width'))


def test_a_component_that_a_hook_builds_is_named_too():
    class BuildingHook(Hook):
        def before_run(self, runner):
            build_whole(TypeError("unexpected keyword argument 'momentun'"))

    runner = Runner.__new__(Runner)
    runner._hooks = [BuildingHook()]
    message = r"^config \(Failing\) cannot be built: TypeError: unexpected keyword argument 'momentun' \(.*:\d+\)$"
    with pytest.raises(ConfigError, match=message), build_errors_named('config'):
        runner.call_hook('before_run')


def test_a_message_that_already_names_its_key_is_kept():
    error = ConfigError('connector: mid_channels must be at least 1')
    with pytest.raises(ConfigError) as raised, build_errors_named('model', everything=True):
        build_whole(error)
    assert raised.value is error


def test_errors_outside_of_building_are_converted_only_on_request():
    with pytest.raises(KeyError), build_errors_named('config'):
        raise KeyError('lost')
    with pytest.raises(ConfigError, match=r'^config cannot be built: KeyError: lost \('), \
            build_errors_named('config', everything=True):
        raise KeyError('lost')


def test_a_misspelt_type_is_refused_before_it_is_built():
    with pytest.raises(ConfigError, match=r"^optimizer: SGDD is not in .*::optimizer registry; .* 'mmengine\.SGD'"):
        check_type(dict(type='SGDD'), OPTIMIZERS, 'optimizer')
    for known in (dict(type='SGD'), dict(type=Whole), dict()):
        check_type(known, OPTIMIZERS, 'optimizer')


def test_the_file_of_damaged_annotations_is_named(tmp_path):
    pytest.importorskip('mmdet')
    (tmp_path / 'train.json').write_text('{"images": [')
    with pytest.raises(ConfigError, match=rf"\(mmdet.CocoDataset\) cannot be built of '{tmp_path}/train.json': JSON"), \
            build_errors_named('config'):
        DATASETS.build(dict(type='mmdet.CocoDataset', data_root=str(tmp_path), ann_file='train.json'))


def test_annotations_of_other_classes_are_no_samples(tmp_path):
    pytest.importorskip('mmdet')
    (tmp_path / 'train.json').write_text('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}')
    with pytest.raises(ConfigError, match=r"train.json': it has no samples; check its paths, its classes"), \
            build_errors_named('config'):
        DATASETS.build(dict(type='mmdet.CocoDataset', ann_file=str(tmp_path / 'train.json'), pipeline=[]))


def test_an_installed_library_that_cannot_be_imported_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmseg.models', None)
    message = r'package it comes from; the installed mmseg cannot be imported: ModuleNotFoundError: .*mmseg\.models'
    with pytest.raises(ConfigError, match=message):
        check_type(dict(type='EncoderDecoderOfNobody'), MODELS, 'student')


@pytest.mark.slow
def test_the_package_imports_beside_an_mmdet_that_does_not(tmp_path):
    (tmp_path / 'mmdet').mkdir()
    (tmp_path / 'mmdet' / '__init__.py').write_text('raise TypeError("NoneType takes no arguments")')
    code = 'from mmreviewkd.models import CIFARResNet; import mmreviewkd.models.backbones as b; print(b.__all__)'
    run = subprocess.run(
        [sys.executable, '-c', code], env={**os.environ, 'PYTHONPATH': str(tmp_path)}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert 'MobileNetV2Stages' not in run.stdout
