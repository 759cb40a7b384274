"""Read configs and build runners."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmreviewkd.engine.runner import ResumableRunner
from mmreviewkd.utils.checkpoint import guard_checkpoint_loading
from mmreviewkd.utils.config import load_config, type_name
from mmreviewkd.utils.config_errors import build_errors_named
from mmreviewkd.utils.config_paths import resolve_paths
from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.files import check_writable, full_disk_named
from mmreviewkd.utils.network import choose_gloo_interface

from .checks import add_finite_loss_hook, check_complete, check_kinds, check_launcher
from .training_image import add_training_image


def read_config(
        config: str, work_dir: str | None = None, cfg_options: dict | None = None, launcher: str = 'none') -> Config:
    """Read a config file and apply command line options to it.

    Relative paths of a distillation's models and checkpoint are seen from the folder of the config file or, where they
    do not exist there, from the working folder; those of the options are seen from the working folder.

    Args:
        config (str): A path, or ``'package::path/of/config.py'``.
        work_dir (str, optional): The folder for logs and checkpoints. Defaults to the config's ``work_dir``, or
            ``work_dirs/CONFIG_NAME`` if it has none.
        cfg_options (dict, optional): Settings that override the config's, by dotted keys.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'. Defaults to 'none'.

    Raises:
        ConfigError: If there is no such file.
    """
    cfg = load_config(config, 'config')
    resolve_paths(cfg)
    merge_options(cfg, cfg_options or {})
    cfg.launcher = launcher
    cfg.work_dir = str(work_dir or cfg.get('work_dir') or Path('work_dirs') / Path(config).stem)
    return cfg


def merge_options(cfg: Config, options: dict) -> None:
    """Change a config by command line options.

    Args:
        cfg (Config): The config; changed in place.
        options (dict): Settings by dotted keys.

    Raises:
        ConfigError: If a key does not fit the config.
    """
    for key, value in options.items():
        try:
            cfg.merge_from_dict({key: value})
        except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
            # MMEngine explains a mismatch in the first lines of its message.
            reason = ' '.join(str(error.args[0] if error.args else error).split())
            raise ConfigError(f'--cfg-options: {key}={value!r:.80} does not fit the config: {reason:.300}') from error


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config, and make MMEngine load checkpoints as data only.

    See :func:`~mmreviewkd.utils.checkpoint.guard_checkpoint_loading` for the latter. On a CPU, distributed training
    uses gloo.

    Args:
        cfg (Config): As :func:`read_config` returns it.

    Raises:
        ConfigError: If the work dir is not writable, or the config needs a device that is not available.
    """
    check_kinds(cfg)
    check_launcher(cfg.get('launcher', 'none'))
    check_writable(cfg.work_dir, 'work_dir', 'choose another with --work-dir')
    guard_checkpoint_loading()
    if get_device() == 'cpu':
        _prepare_cpu(cfg)
    check_complete(cfg)
    add_training_image(cfg)
    add_finite_loss_hook(cfg)
    with full_disk_named(cfg.work_dir), build_errors_named('config', everything=True):
        return RUNNERS.build(cfg) if 'runner_type' in cfg else ResumableRunner.from_cfg(cfg)


def _prepare_cpu(cfg: Config) -> None:
    if type_name(cfg.get('optim_wrapper', {}).get('type')) == 'AmpOptimWrapper':
        raise ConfigError(
            "--amp (optim_wrapper.type='AmpOptimWrapper') needs an accelerator, but only a CPU is available; remove it")
    if cfg.get('launcher') == 'pytorch':
        # MMEngine would assign CUDA devices to the process and to DDP.
        choose_gloo_interface()
        torch.distributed.init_process_group('gloo')
        cfg.setdefault('model_wrapper_cfg', dict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False)))
