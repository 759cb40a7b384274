"""From a config file and a command line to a runner."""

import os
import tempfile
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmreviewkd.engine.runner import ResumableRunner
from mmreviewkd.utils.checkpoint import guard_checkpoint_loading
from mmreviewkd.utils.config import load_config
from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.network import choose_gloo_interface


def read_config(
        config: str, work_dir: str | None = None, cfg_options: dict | None = None, launcher: str = 'none') -> Config:
    """Read a config file and lay a command line over it.

    Args:
        config (str): A path, or ``'package::path/of/config.py'``.
        work_dir (str, optional): Where logs and checkpoints go. Defaults to the config's, else to a folder of the
            config's name under ``work_dirs``.
        cfg_options (dict, optional): Settings that replace the config's, by dotted keys.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'. Defaults to 'none'.

    Raises:
        ConfigError: If there is no such file.
    """
    cfg = load_config(config, 'config')
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(config).stem)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config, on the device there is.

    Checkpoints are then read as data only, see :func:`~mmreviewkd.utils.checkpoint.guard_checkpoint_loading`.

    Args:
        cfg (Config): As :func:`read_config` gives it.

    Raises:
        ConfigError: If the work dir cannot be written to, or the config asks for what the device cannot do.
    """
    _check_writable(cfg.work_dir)
    guard_checkpoint_loading()
    if get_device() == 'cpu':
        _prepare_cpu(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else ResumableRunner.from_cfg(cfg)


def _check_writable(work_dir: str) -> None:
    try:
        os.makedirs(work_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=work_dir):
            pass
    except OSError as error:
        raise ConfigError(
            f'work_dir: cannot write to {work_dir!r} ({error.strerror}); choose another with --work-dir') from error


def _prepare_cpu(cfg: Config) -> None:
    if cfg.get('optim_wrapper', {}).get('type') == 'AmpOptimWrapper':
        raise ConfigError(
            "--amp (optim_wrapper.type='AmpOptimWrapper') needs an accelerator, but there is only a CPU here; leave "
            'it out')
    if cfg.get('launcher') == 'pytorch':
        # MMEngine would choose a CUDA device for the process and for DDP.
        choose_gloo_interface()
        torch.distributed.init_process_group('gloo')
        cfg.setdefault('model_wrapper_cfg', dict(type='MMDistributedDataParallel', device_ids=None))
