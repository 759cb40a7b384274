"""The hooks that training adds, and its warning of those that a config drops."""

import logging

import pytest
from conftest import review_config
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmreviewkd.apis.hooks import add_export_hook, warn_of_dropped_hooks
from mmreviewkd.engine.hooks import ExportStudentHook

EXPORT = dict(type='mmreviewkd.ExportStudentHook')


@pytest.fixture
def warnings():
    """The messages that the block's warnings are appended to."""
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def hooks_after(**settings):
    cfg = Config({'default_scope': 'mmpretrain', **settings})
    add_export_hook(cfg)
    return cfg.get('custom_hooks')


def test_a_distillation_exports_its_student_without_a_hook_line():
    assert hooks_after(model=review_config()) == [EXPORT]
    assert hooks_after(model=review_config(), custom_hooks=[dict(type='EMAHook')]) == [dict(type='EMAHook'), EXPORT]


def test_a_hook_line_is_kept_and_other_models_are_left_alone():
    own = [dict(EXPORT, out_dir='there')]
    assert hooks_after(model=review_config(), custom_hooks=own) == own
    assert hooks_after(model=review_config(), custom_hooks=[dict(type=ExportStudentHook)]) == [
        dict(type=ExportStudentHook)]
    assert hooks_after(model=review_config()['student']['model']) is None


def test_a_student_that_cannot_be_exported_trains_with_a_warning(warnings):
    assert hooks_after(model=review_config(), tta_model=dict(type='mmreviewkd.NoSuchPart')) is None
    assert "will not be exported: 'mmreviewkd.NoSuchPart'" in warnings[0]


def test_dropped_hooks_are_named(tmp_path, warnings):
    (tmp_path / 'base.py').write_text("custom_hooks = [dict(type='EMAHook')]\n")
    (tmp_path / 'own.py').write_text("_base_ = 'base.py'\ncustom_hooks = []\n")
    warn_of_dropped_hooks(Config.fromfile(tmp_path / 'own.py'))
    assert 'drops EMAHook; to keep' in warnings[0] and 'base.py' in warnings[0]
