"""The hooks of a training: those it adds to a config, and those that the config drops."""

import logging
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.logging import print_log

from mmreviewkd.engine.export import student_files
from mmreviewkd.utils.config import type_name
from mmreviewkd.utils.config_bases import dropped_hooks
from mmreviewkd.utils.errors import ConfigError

_EXPORT_HOOK = 'mmreviewkd.ExportStudentHook'


def add_export_hook(cfg: Config) -> None:
    """Add an :class:`~mmreviewkd.engine.hooks.ExportStudentHook` to the config of a distillation that has none.

    Warns instead if the student cannot be exported.

    Args:
        cfg (Config): The config; changed in place.
    """
    hooks = cfg.get('custom_hooks') or []
    if not _is_distillation(cfg) or any(type_name(hook['type']) == 'ExportStudentHook' for hook in hooks):
        return
    try:
        student_files(cfg)
    except ConfigError as error:
        print_log(f'The student will not be exported: {error}', 'current', level=logging.WARNING)
        return
    cfg.custom_hooks = [*hooks, dict(type=_EXPORT_HOOK)]


def warn_of_dropped_hooks(cfg: Config) -> None:
    """Warn if the config's ``custom_hooks`` replaces hooks of its base config.

    Args:
        cfg (Config): The config, as read from its file.
    """
    for base, hooks in dropped_hooks(cfg).items():
        print_log(
            f'config: custom_hooks replaces the list of the base config {base!r} and drops {", ".join(hooks)}; to keep '
            'them, write custom_hooks = [*_base_.custom_hooks, ...]', 'current', level=logging.WARNING)


def _is_distillation(cfg: Config) -> bool:
    model = cfg.get('model')
    return isinstance(model, Mapping) and type_name(model.get('type')) == 'ReviewDistiller'
