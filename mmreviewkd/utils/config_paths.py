"""Paths in a config."""

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config


def resolve_paths(cfg: Config) -> None:
    """Replace the relative paths of a distillation's models and checkpoint that exist beside the config file.

    Other relative paths stay; they are seen from the working folder.

    Args:
        cfg (Config): A config that was read from a file; changed in place.
    """
    folder = Path(cfg.filename or '').parent
    model = cfg.get('model')
    for part, key in (('student', 'model'), ('teacher', 'model'), ('teacher', 'checkpoint')):
        settings = model.get(part) if isinstance(model, Mapping) else None
        value = settings.get(key) if isinstance(settings, Mapping) else None
        if isinstance(value, str) and '::' not in value and '://' not in value and (folder / value).is_file():
            settings[key] = str(folder / value)
