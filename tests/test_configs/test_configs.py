"""Every config can be read, and a distillation trains its student as the student's own config does."""

import ast
import functools

import pytest
from conftest import ROOT

from mmreviewkd.apis.checks import check_complete, check_kinds
from mmreviewkd.utils.config import load_config

CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)
DISTILLATIONS = [path for path in CONFIGS if 'ReviewDistiller' in path.read_text() or 'review' in path.name]


def name_of(path):
    return f'{path.parent.name}/{path.name}'


def library_of(path):
    """The package whose models and data a config uses."""
    if path.parent.name == 'fashion_scenes':
        return 'mmseg' if path.name.startswith('fpn') else 'mmdet'
    libraries = dict(
        coco='mmdet', rtmdet='mmdet', cityscapes='mmseg', ade20k='mmseg', coco_pose='mmpose')
    return libraries.get(path.parent.name, 'mmpretrain')


@functools.cache
def read(path):
    pytest.importorskip(library_of(path))
    return load_config(str(path), 'config')


def alone(path):
    """The config of the student alone: the nearest `_base_` that is no distillation."""
    tree = ast.parse(path.read_text())
    bases = next(ast.literal_eval(node.value) for node in tree.body
                 if isinstance(node, ast.Assign) and node.targets[0].id == '_base_')
    base = bases if isinstance(bases, str) else bases[0]
    if '::' in base:
        return load_config(base, 'config')
    base = (path.parent / base).resolve()
    return alone(base) if base in DISTILLATIONS else read(base)


def without_scopes(value):
    """A config without the scopes that MMEngine adds to whatever it reads from another package."""
    if isinstance(value, dict):
        return {key: without_scopes(part) for key, part in value.items() if key != '_scope_'}
    return [without_scopes(part) for part in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_has_all_that_training_and_testing_need(path):
    cfg = read(path)
    check_kinds(cfg)
    check_complete(cfg)
    assert {'model', 'train_dataloader', 'test_dataloader', 'optim_wrapper'} <= set(cfg)


@pytest.mark.parametrize('path', DISTILLATIONS, ids=name_of)
def test_differs_from_its_student_alone_in_the_model_only(path):
    distilled, student = read(path), alone(path)
    assert distilled.model.type == 'mmreviewkd.ReviewDistiller'
    assert without_scopes(distilled.model.student.model) == without_scopes(student.model)
    keys = (set(distilled) | set(student)) - {'model', 'taps', 'custom_hooks', 'default_hooks'}
    assert [key for key in sorted(keys) if without_scopes(distilled.get(key)) != without_scopes(student.get(key))] == []
