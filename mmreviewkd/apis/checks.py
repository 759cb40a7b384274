"""Check a whole config before a runner is built from it."""

import logging
import os
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.logging import print_log
from torch.utils.data import Dataset

from mmreviewkd.utils.checks import choice, flag, number
from mmreviewkd.utils.config import type_name
from mmreviewkd.utils.config_keys import misspelt_keys
from mmreviewkd.utils.errors import ConfigError

_FINITE_LOSS_HOOK = 'mmreviewkd.FiniteLossHook'
# The environment variables that MMEngine reads, and the programs that set them.
_LAUNCHERS = {
    'pytorch': (
        ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'), 'torchrun or tools/dist_train.sh'),
    'slurm': (('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'), 'srun or tools/slurm_train.sh'),
    'mpi': (('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_RANK', 'MASTER_ADDR'), 'mpirun'),
}
_DICTS = (
    'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper',
    'default_hooks', 'env_cfg', 'randomness', 'auto_scale_lr', 'tta_model')
# Samplers of MMEngine and mmdet that never end.
_ENDLESS_SAMPLERS = ('InfiniteSampler', 'MultiSourceSampler', 'GroupMultiSourceSampler')
TRAINING = ('train_dataloader', 'train_cfg', 'optim_wrapper')
TESTING = ('test_dataloader', 'test_cfg', 'test_evaluator')
VALIDATION = ('val_dataloader', 'val_cfg', 'val_evaluator')


def check_kinds(cfg: Config) -> None:
    """Refuse top-level values of the wrong type, and warn of keys that are near matches of known ones.

    Args:
        cfg (Config): The config.

    Raises:
        ConfigError: If a value is of the wrong type; the message names its key.
    """
    for key, meant in misspelt_keys(cfg).items():
        print_log(f'config: nothing reads the key {key!r}; did you mean {meant!r}?', 'current', level=logging.WARNING)
    model = cfg.get('model')
    if model is not None and (not isinstance(model, dict) or 'type' not in model):
        raise ConfigError(f'config: `model` must be a dict with a `type`, but is {model!r:.80}')
    for key in _DICTS:
        if cfg.get(key) is not None and not isinstance(cfg[key], dict):
            raise ConfigError(f'config: `{key}` must be a dict, but is {cfg[key]!r:.80}')
    check_data(cfg)
    hooks = cfg.get('custom_hooks') or []
    if not isinstance(hooks, list) or not all(isinstance(hook, dict) and 'type' in hook for hook in hooks):
        raise ConfigError(f'config: `custom_hooks` must be a list of dicts with a `type`, but is {hooks!r:.200}')
    choice(cfg.get('sync_bn'), ('torch', 'mmcv', None), 'sync_bn')
    flag(cfg.get('find_unused_parameters', False), 'find_unused_parameters')
    _check_loop(cfg.get('train_cfg') or {})
    _check_sampler(cfg.get('train_dataloader') or {}, cfg.get('train_cfg') or {})
    clip = (cfg.get('optim_wrapper') or {}).get('clip_grad')
    for key in ('max_norm', 'clip_value'):
        if isinstance(clip, dict) and key in clip:  # of a negative one, torch reverses the gradients
            number(clip[key], f'optim_wrapper.clip_grad.{key}', above=0)


def check_data(cfg: Mapping) -> None:
    """Refuse data loaders without a data set.

    Args:
        cfg (Mapping): The config.

    Raises:
        ConfigError: If the `dataset` of a data loader is no dict with a `type`; the message names its key.
    """
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(key)
        if not isinstance(loader, Mapping):  # none, or several
            continue
        dataset = loader.get('dataset')
        if not (isinstance(dataset, Mapping) and 'type' in dataset) and not isinstance(dataset, Dataset):
            raise ConfigError(f'config: `{key}.dataset` must be a dict with a `type`, but is {dataset!r:.80}')


def _check_loop(train_cfg: Mapping) -> None:
    if 'by_epoch' in train_cfg:
        flag(train_cfg['by_epoch'], 'train_cfg.by_epoch')
    for key, least in (('max_epochs', 1), ('max_iters', 1), ('val_interval', 1), ('val_begin', 0)):
        if key in train_cfg:
            number(train_cfg[key], f'train_cfg.{key}', at_least=least, integer=True)
    length = train_cfg.get('max_epochs', train_cfg.get('max_iters'))
    if length is not None and train_cfg.get('val_begin', 0) > length:
        raise ConfigError(
            f'train_cfg.val_begin={train_cfg["val_begin"]} is after the end of the run ({length}), which would never '
            'be validated')
    pairs = train_cfg.get('dynamic_intervals')
    if pairs is not None and not (isinstance(pairs, (list, tuple)) and all(
            isinstance(pair, (list, tuple)) and len(pair) == 2 and all(type(n) is int for n in pair)
            for pair in pairs)):
        raise ConfigError(
            f'train_cfg.dynamic_intervals must be a list of (begin, interval), such as [(10, 1)], but is {pairs!r}')


def _check_sampler(loader: Mapping, train_cfg: Mapping) -> None:
    sampler = loader.get('sampler')
    kind = type_name(sampler['type']) if isinstance(sampler, Mapping) and 'type' in sampler else None
    by_epoch = train_cfg.get('by_epoch', type_name(train_cfg.get('type')) == 'EpochBasedTrainLoop')
    if kind in _ENDLESS_SAMPLERS and by_epoch and not loader.get('num_batch_per_epoch'):
        raise ConfigError(
            f'train_dataloader.sampler: an epoch of {kind} never ends, but train_cfg trains by epochs; set '
            'train_cfg.by_epoch=False with max_iters, train_dataloader.num_batch_per_epoch, or another sampler such as '
            'DefaultSampler')


def check_complete(cfg: Config) -> None:
    """Refuse a config without a model, or with only some of the keys that training, validation or testing needs.

    Args:
        cfg (Config): The config.

    Raises:
        ConfigError: If a key is missing; the message names it.
    """
    require_keys(cfg, ('model',))
    for group in (TRAINING, TESTING, VALIDATION):
        if any(cfg.get(key) is not None for key in group):
            require_keys(cfg, group)


def require_keys(cfg: Mapping, keys: tuple[str, ...], why: str = '', where: str = 'config') -> None:
    """Refuse a config that lacks keys.

    Args:
        cfg (Mapping): The config, or a dict in it.
        keys (tuple[str, ...]): The keys it must have.
        why (str): The purpose of the keys, for the message. Defaults to ''.
        where (str): The config key of the dict, for the message. Defaults to 'config'.

    Raises:
        ConfigError: If one is missing or None; the message suggests near matches among the config's keys.
    """
    missing = [key for key in keys if cfg.get(key) is None]
    if not missing:
        return
    misspelt = misspelt_keys(cfg)
    hints = [f'did you mean `{meant}` by `{key}`?' for key, meant in misspelt.items() if meant in missing]
    present = [key for key in keys if key not in missing]
    beside = f', but has {" and ".join(f"`{key}`" for key in present)}; these belong together' if present else ''
    names = ' and '.join(f'`{key}`' for key in missing)
    file = getattr(cfg, 'filename', None)
    raise ConfigError(
        f'{where}{f" {str(file)!r}" if file else ""} has no {names}{beside}{why and f" ({why})"}. {" ".join(hints)}'
        .rstrip(' .'))


def check_launcher(launcher: str) -> None:
    """Refuse a launcher whose environment variables are not set.

    Args:
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        ConfigError: If a variable is missing, or the launcher unknown.
    """
    if launcher == 'none':
        return
    if launcher not in _LAUNCHERS:
        raise ConfigError(f"launcher must be 'none', 'pytorch', 'slurm' or 'mpi', but is {launcher!r}")
    variables, program = _LAUNCHERS[launcher]
    missing = [name for name in variables if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f'launcher: {launcher!r} needs the environment variables {", ".join(variables)}, of which '
            f'{", ".join(missing)} {"is" if len(missing) == 1 else "are"} not set; start with {program}, or leave '
            '--launcher out')


def add_finite_loss_hook(cfg: Config) -> None:
    """Add a :class:`~mmreviewkd.engine.hooks.FiniteLossHook` to a config for training that has none."""
    hooks = cfg.get('custom_hooks') or []
    if cfg.get('train_cfg') is not None and all(
            type_name(hook['type']) != 'FiniteLossHook' for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type=_FINITE_LOSS_HOOK)]
