"""Write, try and train the config of a distillation, given two configs and a checkpoint."""

import copy
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from torch import nn

from mmreviewkd.models.build import build_model
from mmreviewkd.models.distillers.review_distiller import check_distills_not
from mmreviewkd.models.taps.logits import classifier_logits
from mmreviewkd.models.taps.proposal import Proposal, propose_taps
from mmreviewkd.utils.checkpoint import guard_checkpoint_loading, save_atomically
from mmreviewkd.utils.config import config_file, load_config, model_config, without_pretrained
from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.files import check_writable
from mmreviewkd.utils.random import preserved_random_state

from .checks import TRAINING, check_data, check_kinds, require_keys
from .dry_step import dry_step
from .first_batch import NoBatchError
from .pair_config import check_options, pair_config
from .runner import merge_options, read_config
from .train import train as train_config
from .training_image import training_image


def distill(
        student: str,
        teacher: str,
        checkpoint: str,
        out: str | None = None,
        force: bool = False,
        train: bool = False,
        work_dir: str | None = None,
        cfg_options: Mapping | None = None) -> Path:
    """Propose the taps of a pair, try one step, write the config of the distillation, and optionally train it.

    Classifiers of the same number of classes are distilled with logit KD, too. Prints the levels of both models, and
    the losses, gradients, time and memory of the step.

    Args:
        student (str): The student's own config: a path, or ``'package::path/of/config.py'``; a pure Python config
            (``with read_base()``) too.
        teacher (str): The teacher's config, likewise.
        checkpoint (str): The teacher's weights: a path, a URL, ``'metafile'`` or ``'init_cfg'``, see
            :class:`~mmreviewkd.models.distillers.FrozenTeacher`.
        out (str, optional): The config file to write. Defaults to ``STUDENT_review-TEACHER.py`` in the current folder.
        force (bool): Whether to overwrite the file if it exists. Defaults to False.
        train (bool): Whether to train the written config. Defaults to False.
        work_dir (str, optional): The folder for logs and checkpoints of the training. Defaults to
            ``work_dirs/CONFIG_NAME``.
        cfg_options (Mapping, optional): Settings that the written config adds, by dotted keys, such as
            ``{'model.distill_loss.loss_weight': 5.0}``.

    Returns:
        Path: The written config.

    Raises:
        ConfigError: If the file exists, a config or the checkpoint cannot be used, or the pair has no levels in common;
            nothing is written then.
    """
    if work_dir and not train:
        raise ConfigError('--work-dir: the folder of a training; train the config with --train, or leave it out')
    file = _out_file(student, teacher, out, force)
    cfg, teacher_cfg = _read(student, 'student'), _read(teacher, 'teacher')
    require_keys(cfg, TRAINING, 'needed to train', 'student')
    check_data(cfg)
    proposal, logits = _propose(student, teacher, _with_options(cfg, cfg_options or {}), teacher_cfg)

    def text(folder: Path) -> str:
        return pair_config(student, teacher, checkpoint, proposal, cfg, folder, cfg_options, logits)

    guard_checkpoint_loading()
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / file.name
        trial.write_text(text(trial.parent), encoding='utf-8')
        whole = read_config(str(trial))
        written = str(whole.model.teacher.get('checkpoint'))
        if Path(written).is_file() and Path(checkpoint).is_file() and Path(written).samefile(checkpoint):
            whole.model.teacher.checkpoint = checkpoint  # errors name it as given, not relative to the folder
        check_kinds(whole)
        try:
            print_log('\n'.join(dry_step(whole).lines()))
        except NoBatchError as error:
            print_log(f'no step was tried: {error}')
    save_atomically(lambda path: Path(path).write_text(text(file.absolute().parent), encoding='utf-8'), file)
    print_log(f'wrote {file}' + ('' if train else f'; train it with tools/train.py {shlex.quote(str(file))}'))
    if train:
        train_config(str(file), work_dir=work_dir)
    return file


def _out_file(student: str, teacher: str, out: str | None, force: bool) -> Path:
    stems = [Path(reference.rpartition('::')[2]).stem for reference in (student, teacher)]
    file = Path(out or f'{stems[0]}_review-{stems[1]}.py')
    if file.suffix != '.py':
        raise ConfigError(f'--out: {str(file)!r} must be the path of a Python file, such as {stems[0]}_review.py')
    for name, reference in (('student', student), ('teacher', teacher)):
        if file.exists() and file.samefile(config_file(reference, name)):
            raise ConfigError(f"--out: {str(file)!r} is the {name}'s own config; choose another name")
    if file.exists() and not force:
        raise ConfigError(f'--out: {str(file)!r} exists; choose another name, or overwrite it with --force')
    check_writable(str(file.absolute().parent), '--out')
    return file


def _read(reference: str, name: str) -> Config:
    cfg = load_config(reference, name)
    if not isinstance(cfg.get('model'), dict):
        raise ConfigError(f'{name}: {reference!r} contains no `model` dict')
    if 'student' in cfg.model and 'teacher' in cfg.model:
        raise ConfigError(
            f'{name}: {reference!r} is itself a distillation; give the config of the {name} alone, or the exported '
            'student.py')
    check_distills_not(cfg.model, name)
    return cfg


def _with_options(cfg: Config, options: Mapping) -> Config:
    """The student's config with the options that do not concern the distiller, such as a batch size."""
    check_options(options)
    cfg = copy.deepcopy(cfg)
    merge_options(cfg, {key: value for key, value in options.items() if key.partition('.')[0] != 'model'})
    return cfg


def _propose(
        student: str, teacher: str, cfg: Config, teacher_cfg: Config) -> tuple[Proposal, tuple[str, str] | None]:
    """The taps of both models' features and logits, which are printed."""
    models = []
    with preserved_random_state():
        for reference, config, name in ((student, cfg, 'student'), (teacher, teacher_cfg, 'teacher')):
            with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmengine')):
                models.append(build_model(without_pretrained(model_config(reference, name)), f'{name}.model'))
        try:
            image = training_image(cfg, cfg.model, models[0])
        except NoBatchError as error:
            print_log(f'the size of the training images is not known, so a usual one is taken ({error})')
            image = None
        proposal = propose_taps(*models, image)
    print_log('\n'.join([f'levels, {proposal.heading}', *(f'  {line}' for line in proposal.table())]))
    return proposal, _logits(*models)


def _logits(student: nn.Module, teacher: nn.Module) -> tuple[str, str] | None:
    """The logits' taps of two classifiers of the same number of classes, else None; prints which."""
    own, other = classifier_logits(student), classifier_logits(teacher)
    if not (own and other):
        return None
    if own[1] != other[1]:
        print_log(f'no logit KD: the student has {own[1]} classes, the teacher {other[1]}')
        return None
    print_log(f'logit KD over {own[1]} classes: {own[0]} of the student, {other[0]} of the teacher')
    return own[0], other[0]
