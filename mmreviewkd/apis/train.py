"""Train a config."""

import torch.nn as nn
from mmengine.registry import OPTIMIZERS

from mmreviewkd.engine.hooks import CheckFitHook
from mmreviewkd.utils.config_errors import build_errors_named, check_type

from .checks import TRAINING, check_kinds, require_keys
from .hooks import add_export_hook, warn_of_dropped_hooks
from .normalization import check_normalization
from .runner import build_runner, read_config


def train(
        config: str,
        work_dir: str | None = None,
        resume: bool | str = False,
        amp: bool = False,
        auto_scale_lr: bool = False,
        validate: bool = True,
        cfg_options: dict | None = None,
        launcher: str = 'none') -> nn.Module:
    """Train the model of a config, which can be a distiller or any other model.

    At the end of a distillation the student is exported to the folder ``student`` of the work dir, see
    :class:`~mmreviewkd.engine.hooks.ExportStudentHook`. Hooks of the base config that ``custom_hooks`` drops are named
    in a warning.

    Args:
        config (str): A path, or ``'package::path/of/config.py'``.
        work_dir (str, optional): The folder for logs and checkpoints. Defaults to the config's ``work_dir``, or
            ``work_dirs/CONFIG_NAME`` if it has none.
        resume (bool or str): Resume from the latest checkpoint in the work dir (True) or from this path. Defaults to
            False.
        amp (bool): Train in mixed precision. Defaults to False.
        auto_scale_lr (bool): Scale the learning rate to the batch size, as configured by ``auto_scale_lr``.
            Defaults to False.
        validate (bool): Evaluate while training. Defaults to True.
        cfg_options (dict, optional): Settings that override the config's, by dotted keys.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'. Defaults to 'none'.

    Returns:
        nn.Module: The trained model.

    Raises:
        ConfigError: If the config, a checkpoint or the work dir is invalid.
    """
    cfg = read_config(config, work_dir, cfg_options, launcher)
    check_kinds(cfg)
    require_keys(cfg, ('model',))
    require_keys(cfg, TRAINING, 'needed to train')
    check_normalization(cfg)
    warn_of_dropped_hooks(cfg)
    add_export_hook(cfg)
    if amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if auto_scale_lr:
        require_keys(cfg, ('auto_scale_lr',), 'needed by --auto-scale-lr: dict(base_batch_size=...)')
        cfg.auto_scale_lr['enable'] = True
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    start_from = cfg.get('load_from')
    if resume:
        cfg.resume = True
        cfg.load_from = resume if isinstance(resume, str) and resume != 'auto' else None
    runner = build_runner(cfg)
    runner.start_from = start_from
    if isinstance(cfg.optim_wrapper.get('optimizer'), dict):
        check_type(cfg.optim_wrapper.optimizer, OPTIMIZERS, 'optim_wrapper.optimizer')
    runner.register_hook(CheckFitHook())
    with build_errors_named('config'):
        return runner.train()
