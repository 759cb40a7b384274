"""Write the config of a distillation on top of its student's own config."""

import os
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from mmreviewkd.models.taps.proposal import Proposal
from mmreviewkd.utils.config import config_file
from mmreviewkd.utils.config_code import Code, as_code, config_text
from mmreviewkd.utils.errors import ConfigError

# The review path's width: what the authors use for COCO and for MobileNet on ImageNet.
_MID_CHANNELS = 256
# In the first iterations the gradients of the distillation are far larger than those of the task, see docs/demo.md.
_WARMUP_RATIO = 0.05
_HOOKS = [dict(type='mmreviewkd.LevelScalarsHook'), dict(type='mmreviewkd.LevelPicturesHook')]


def pair_config(
        student: str, teacher: str, checkpoint: str, proposal: Proposal, cfg: Config, folder: Path,
        options: Mapping | None = None, logits: tuple[str, str] | None = None) -> str:
    """Return the text of the config that distils a pair.

    The student's config becomes the ``_base_``, or of a pure Python config, the ``read_base()``. A pure Python config
    that Python could not import, because its path has a name such as ``my-configs``, is written out.

    Args:
        student (str): The student's config: a path, or ``'package::path/of/config.py'``.
        teacher (str): The teacher's config, likewise.
        checkpoint (str): The teacher's weights. Relative paths of files are written as seen from ``folder``.
        proposal (Proposal): The taps of both.
        cfg (Config): The student's config, read.
        folder (Path): The folder of the text's file.
        options (Mapping, optional): Settings by dotted keys, as ``--cfg-options`` has them. Defaults to None.
        logits (tuple[str, str], optional): The taps of the student's and the teacher's logits, between which logit KD
            is added. Defaults to None: no logit KD.

    Raises:
        ConfigError: If an option changes the student, or an item of a list.
    """
    pure_python = is_pure_python(cfg)
    module = _module(config_file(student, 'student'), folder) if pure_python else None
    widest = max(feature.channels for feature in proposal.student)
    model = dict(
        type='mmreviewkd.ReviewDistiller',
        student=dict(model=_student_model(cfg, pure_python), taps=proposal.student_taps),
        teacher=dict(
            model=_seen_from(folder, teacher), checkpoint=_seen_from(folder, checkpoint), taps=proposal.teacher_taps),
        connector=dict(type='ReviewConnector', mid_channels=min(_MID_CHANNELS, widest)),
        distill_loss=dict(type='PearsonCorrelationLoss', loss_weight=30.0))
    if logits:
        for network, tap in zip((model['student'], model['teacher']), logits):
            network['logits'] = tap
        model['logit_loss'] = dict(type='LogitDistillationLoss', temperature=4.0, loss_weight=3.0)
    if not any(key.startswith('model.warmup_') for key in options or {}):
        model['warmup_ratio'] = _WARMUP_RATIO
    changes = _merged(model, options or {})
    hooks = 'custom_hooks' if pure_python else '_base_.custom_hooks'
    hooks = [Code(f'*{hooks}'), *_HOOKS] if cfg.get('custom_hooks') else _HOOKS
    method = 'Knowledge Review and logit KD' if logits else 'Knowledge Review'
    start = [f'# {_name(student)} distilled from {_name(teacher)} with {method}, as tools/distill.py proposes.']
    if module:
        start += ['from mmengine.config import read_base', '', 'with read_base():', f'    from {module} import *']
    elif pure_python:
        start += [f'# The values of the pure Python config {student!r} come first.', '']
        start += [config_text(cfg.to_dict()).strip()]
    else:
        model = dict(_delete_=True, **model)
        start += [f'_base_ = {_base(student, folder)!r}']
    lines = [
        *start, '', f'# Levels by stride, fine to coarse: {", ".join(map(_stride, proposal.student))}.',
        f'model = {as_code(model, column=8)}',
        '# Losses, gradients and pictures of the levels, in the folder `vis_data` of the run.',
        f'custom_hooks = {as_code(hooks, column=15)}']
    if cfg.get('load_from'):
        lines += ['# The weights that its config loads are the student\'s, see above, and none of the distiller.',
                  'load_from = None']
    lines += ['', *(_change(key, value, cfg.get(key), bool(module), pure_python) for key, value in changes.items())] \
        if changes else []
    return '\n'.join(lines) + '\n'


def _student_model(cfg: Config, pure_python: bool) -> Code:
    """The student's model, with the weights that its config starts from."""
    base = '' if pure_python else '_base_.'
    return Code(
        f"dict({base}model, init_cfg=dict(type='Pretrained', checkpoint={base}load_from))" if cfg.get('load_from')
        else f'{base}model')


def _change(key: str, value: object, old: object, imported: bool, pure_python: bool) -> str:
    """The line of code that changes a top-level value of the student's config."""
    if imported and isinstance(value, dict) and isinstance(old, dict):
        return f'{key}.merge({as_code(value, column=len(key) + 7)})'
    return f'{key} = {as_code(_updated(old, value) if pure_python else value, column=len(key) + 3)}'


def _module(file: Path, folder: Path) -> str | None:
    """The relative module of a config, seen from a folder, or None if its path cannot be imported."""
    path = Path(os.path.relpath(file.resolve(), folder.resolve())).with_suffix('')
    steps = [step for step in path.parts if step != '..']
    return '.' * (len(path.parts) - len(steps) + 1) + '.'.join(steps) if all(map(str.isidentifier, steps)) else None


def check_options(options: Mapping) -> None:
    """Refuse options that a config on top of the student's cannot apply.

    Args:
        options (Mapping): Settings by dotted keys.

    Raises:
        ConfigError: If an option changes the student, or an item of a list.
    """
    _merged({}, options)


def is_pure_python(cfg: Config) -> bool:
    """Whether a config is one of MMEngine's pure Python configs, which import classes and their base configs."""
    return bool(cfg.filename) and Config._is_lazy_import(cfg.filename)


def _stride(feature: object) -> str:
    return 'pooled' if feature.size == (1, 1) else f'{feature.stride:g}'


def _name(reference: str) -> str:
    return Path(reference.rpartition('::')[2]).stem


def _base(student: str, folder: Path) -> str:
    """The student's config as ``_base_``, which MMEngine reads from the file's own folder or from a known package."""
    file = config_file(student, 'student')
    if student.partition('::')[0] in MODULE2PACKAGE and '.mim' in file.parts:
        return student
    return _relative(file, folder)


def _seen_from(folder: Path, given: str) -> str:
    """A relative path of a file, given from the working folder, as seen from a folder; anything else stays."""
    is_path = given not in ('metafile', 'init_cfg') and '::' not in given and '://' not in given
    is_relative = is_path and Path(given).is_file() and not Path(given).is_absolute()
    return _relative(Path(given), folder) if is_relative else given


def _relative(file: Path, folder: Path) -> str:
    """The path of a file relative to a folder, or its absolute path if they have only the root in common."""
    file, folder = file.parent.resolve() / file.name, folder.resolve()
    apart = os.path.commonpath([file, folder]) == file.anchor
    return file.as_posix() if apart else Path(os.path.relpath(file, folder)).as_posix()


def _merged(model: dict, options: Mapping) -> dict:
    """Change the model by the options that concern it, and return the others as nested dicts."""
    changes: dict = {}
    for key, value in options.items():
        steps = key.split('.')
        if steps[:3] == ['model', 'student', 'model'] or steps == ['model'] or steps == ['model', 'student']:
            raise ConfigError(
                f"--cfg-options: {key} would change the student's own model; change it in the student's config")
        if any(step.isdigit() for step in steps):
            raise ConfigError(
                f'--cfg-options: {key} changes an item of a list, which a config on top of another cannot do; give the '
                "whole list, or change it in the student's config")
        node = model if steps[0] == 'model' else changes
        for step in steps[1:-1] if steps[0] == 'model' else steps[:-1]:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                raise ConfigError(f'--cfg-options: {key} sets a key of {step!r}, which is no dict but {node!r:.80}')
        node[steps[-1]] = value
    return changes


def _updated(old: object, new: object) -> object:
    """A value of a pure Python config with changes; nested dicts are merged."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    old = dict(old.to_dict() if hasattr(old, 'to_dict') else old)
    return {**old, **{key: _updated(old.get(key), value) for key, value in new.items()}}
