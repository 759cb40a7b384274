"""Export a distilled student as a plain config and checkpoint."""

import functools
import importlib.util
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor

from mmreviewkd.models import backbones
from mmreviewkd.models.build import build_model
from mmreviewkd.registry import HOOKS, MODELS
from mmreviewkd.utils.checkpoint import load_checkpoint, load_weights, save_atomically, state_dict_of
from mmreviewkd.utils.config import model_config
from mmreviewkd.utils.config_code import config_text, with_names
from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.finite import check_finite
from mmreviewkd.utils.random import preserved_random_state
from mmreviewkd.version import __version__

_SCOPE = 'mmreviewkd.'
_BACKBONES = Path(backbones.__file__).parent
# Config keys of the training run, and the shared tap lists of configs/_base_/taps.py.
_NOT_EXPORTED = ('load_from', 'resume', 'work_dir', 'launcher', 'model_wrapper_cfg', 'taps')


def export_student(cfg: Config, state: Mapping[str, Tensor], out_dir: str, meta: Mapping | None = None) -> Path:
    """Write the student of a distillation as ``student.py`` and ``student.pth``, independent of this package.

    They load with strict keys in the student's own package, such as mmpretrain or mmdet. If the student uses one of
    this package's backbones, the backbone's source file is copied beside them, and ``student.py`` imports it.

    Args:
        cfg (Config): The config of the distillation.
        state (Mapping[str, Tensor]): The distiller's ``state_dict``; names of the student's weights start with
            ``student.``.
        out_dir (str): The folder to write to.
        meta (Mapping, optional): The training checkpoint's ``meta``, whose ``dataset_meta`` has the class names.

    Returns:
        Path: ``out_dir/student.py``.

    Raises:
        ConfigError: If the config is not one of a distillation, or uses a component of this package that cannot be
            exported.
        CheckpointError: If the weights do not fit the student, or are not finite.
    """
    model = _student_config(cfg)
    files = student_files(cfg)
    weights = {name[len('student.'):]: value.detach().cpu().clone()
               for name, value in state.items() if name.startswith('student.')}
    scope = cfg.get('default_scope', 'mmengine')
    with preserved_random_state(), DefaultScope.overwrite_default_scope(scope):
        student = build_model(model, 'student.model')
        weights = _without_aliases(weights, student.state_dict())
        load_weights(student, weights, "the checkpoint's student")
        check_finite(student, "the checkpoint's student")

    out = Path(out_dir)
    checkpoint = dict(
        state_dict=weights,
        meta=dict(mmreviewkd_version=__version__, dataset_meta=_as_plain((meta or {}).get('dataset_meta') or {})))
    save_atomically(functools.partial(torch.save, checkpoint), out / 'student.pth')
    for name, source in files.items():
        save_atomically(lambda path, source=source: Path(path).write_text(source, encoding='utf-8'), out / name)
    return out / 'student.py'


def student_files(cfg: Config) -> dict[str, str]:
    """The text files of an exported student: its config, and the sources of this package's backbones it uses.

    The config imports the user's own modules that ``custom_imports`` names.

    Args:
        cfg (Config): The config of the distillation.

    Returns:
        dict[str, str]: Their contents by file name; the config is ``student.py``.

    Raises:
        ConfigError: If the config is not one of a distillation, or uses a component of this package that cannot be
            exported.
    """
    model = _student_config(cfg)
    plain = with_names({key: value for key, value in cfg.to_dict().items() if key not in _NOT_EXPORTED})
    if str(plain.get('runner_type', '')).startswith(_SCOPE):
        del plain['runner_type']
    sources: dict[str, str] = {}
    plain = _without_plugin(ConfigDict(plain, model=model).to_dict(), sources)
    _rename_custom_keys(plain, model)
    imports = _imports(plain.pop('custom_imports', None), sources)
    text = config_text({**plain, 'custom_imports': imports} if imports else plain)
    if sources:
        # Triple quotes and the slash allow quotes in the folder's name, which MMEngine puts in as it is.
        text = f'import sys\n\nsys.path.insert(0, """{{{{ fileDirname }}}}/""")\n{text}'
    return {**sources, 'student.py': text}


def _rename_custom_keys(config: dict, model: Mapping) -> None:
    """Give the optimizer's ``custom_keys`` the student's own names, and drop those of the connector; in place."""
    settings = (config.get('optim_wrapper') or {}).get('paramwise_cfg') or {}
    keys = settings.get('custom_keys')
    # A semi-supervised student has parameters that are named `student.…`.
    if not isinstance(keys, dict) or 'semi_train_cfg' in model:
        return
    settings['custom_keys'] = {
        '' if key == 'student' else key.removeprefix('student.'): value for key, value in keys.items()
        if key.split('.')[0] != 'connector'}


def _imports(custom_imports: Mapping | None, sources: dict[str, str]) -> dict | None:
    """The imports of the exported config: the user's own modules, and those of the copied backbones in ``sources``.

    Adds the backbones that an earlier export copied, if the student's config is such an export's.
    """
    own = (custom_imports or {}).get('imports') or []
    own = [name for name in ([own] if isinstance(own, str) else own) if name.partition('.')[0] != _SCOPE[:-1]]
    for name in own:
        spec = importlib.util.find_spec(name) if (_BACKBONES / f'{name}.py').exists() else None
        if spec is not None and spec.origin:
            sources.setdefault(f'{name}.py', Path(spec.origin).read_text(encoding='utf-8'))
    modules = [Path(name).stem for name in sources]
    if not (own or modules):
        return None
    return dict(
        imports=list(dict.fromkeys([*modules, *own])),
        allow_failed_imports=(custom_imports or {}).get('allow_failed_imports', False))


def _student_config(cfg: Config) -> ConfigDict:
    distiller = cfg.get('model')
    if not isinstance(distiller, dict) or 'model' not in (distiller.get('student') or {}):
        raise ConfigError(f'config: model must be a ReviewDistiller with a student, but is {distiller!r:.80}')
    model = model_config(distiller['student']['model'], 'student.model')
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return with_names(model)


def _without_aliases(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop entries that duplicate others under names that a newly built student does not have.

    In its first training step, mmdet's DDQ registers its head's ``aux_reg_branches`` a second time, in the decoder.
    """
    def is_alias(name: str) -> bool:
        parts = name.split('.')
        tails = ['.'.join(parts[i:]) for i in range(1, len(parts) - 1)]
        return any(
            other.endswith(f'.{tail}') and other in weights and torch.equal(weights[other], weights[name])
            for tail in tails for other in own)

    return {name: value for name, value in weights.items() if name in own or not is_alias(name)}


def export_student_of_checkpoint(cfg: Config, checkpoint: str, out_dir: str) -> Path:
    """Export the student of a checkpoint file, with the averaged weights of EMA if there are any.

    Args:
        cfg (Config): The config of the distillation.
        checkpoint (str): The path or URL of a checkpoint of that distillation.
        out_dir (str): The folder to write to.

    Returns:
        Path: ``out_dir/student.py``.

    Raises:
        ConfigError: If the config or the checkpoint cannot be used; see :func:`export_student`.
    """
    # With EMA, MMEngine saves the averaged weights as `state_dict` and the raw ones beside them.
    loaded = load_checkpoint(checkpoint)
    return export_student(cfg, state_dict_of(loaded, f'checkpoint: {checkpoint!r}'), out_dir, loaded.get('meta'))


def _without_plugin(node: Any, sources: dict[str, str]) -> Any:
    """Copy a config, drop this package's hooks, and collect the source of its backbones in ``sources``."""
    if isinstance(node, (list, tuple)):
        return type(node)(_without_plugin(item, sources) for item in node if not _is_plugin_hook(item))
    if not isinstance(node, dict):
        return node
    node = {key: _without_plugin(value, sources) for key, value in node.items() if not _is_plugin_hook(value)}
    kind = node.get('type')
    if isinstance(kind, str) and kind.startswith(_SCOPE):
        cls = MODELS.get(kind)
        if cls is None:
            raise ConfigError(
                f'{kind!r} is not a model, so it cannot be exported with the student; remove it from the config')
        file = Path(inspect.getsourcefile(cls))
        sources[file.name] = _standalone(file)
        node['type'] = cls.__name__
    return node


def _is_plugin_hook(node: Any) -> bool:
    kind = node.get('type') if isinstance(node, dict) else None
    if not (isinstance(kind, str) and kind.startswith(_SCOPE)):
        return False
    HOOKS.import_from_location()
    return kind.rpartition('.')[2] in HOOKS.module_dict  # pure-Python configs name the module, too


def _standalone(file: Path) -> str:
    source = file.read_text(encoding='utf-8')
    source = source.replace('from mmreviewkd.registry import', 'from mmengine.registry import')
    if re.search(r'^\s*(from|import)\s+(mmreviewkd|\.)', source, re.MULTILINE):
        raise ConfigError(f'{file.name} imports other modules of mmreviewkd, so it cannot be exported with the student')
    return source


def _as_plain(value: Any) -> Any:
    """Convert a value to types that ``torch.load(weights_only=True)`` reads on any version."""
    if isinstance(value, Mapping):
        return {str(key): _as_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_plain(item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
