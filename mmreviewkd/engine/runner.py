"""A runner whose interrupted runs resume exactly."""

import itertools
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.utils import get_object_from_string
from torch import nn
from torch.utils.data import DataLoader

from mmreviewkd.registry import RUNNERS
from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.errors import CheckpointError, ConfigError, described
from mmreviewkd.utils.files import full_disk_named, remove_partial_files
from mmreviewkd.utils.lock import locked_work_dir

from .host_watch import watched_hosts
from .named_samples import name_samples
from .newest_checkpoint import newest_checkpoint
from .resumable_loader import ResumableDataLoader

_CHECKPOINT_HOOKS = ('CheckpointHook', 'mmengine.CheckpointHook', MMEngineCheckpointHook)


@RUNNERS.register_module()
class ResumableRunner(Runner):
    """MMEngine's ``Runner`` with runs that resume bit for bit after being killed; the arguments are the same.

    Checkpoints are written completely or not at all, by :class:`~mmreviewkd.engine.hooks.CheckpointHook` instead of
    MMEngine's hook. Resuming takes the newest complete checkpoint. A second training in the same work
    dir is refused.

    Attributes:
        start_from (str, optional): Weights to start from if there is nothing to resume from yet.
    """

    start_from: str | None = None

    def dump_config(self) -> None:
        """Do nothing: the config is written once the run has its work dir to itself.

        The base class writes it when the runner is built, over that of a training that is running there.
        """

    @master_only
    def _write_config(self, overwrite: bool) -> None:
        file = Path(self.work_dir) / (Path(self.cfg.filename).name if self.cfg.filename else f'{self.timestamp}.py')
        if overwrite or not file.exists():
            save_atomically(self.cfg.dump, file)

    def train(self) -> nn.Module:
        """Train, or resume training; see the base class.

        Raises:
            ConfigError: If another training uses the work dir.
            CheckpointError: If the run is to resume and there are checkpoints, but no complete one.
        """
        self._become_current()
        with watched_hosts(), full_disk_named(self.work_dir), locked_work_dir(self.work_dir):
            if is_main_process():
                remove_partial_files(Path(self.work_dir))
            self._write_config(overwrite=True)
            self._choose_checkpoint()
            return super().train()

    def test(self) -> dict[str, float]:
        """Test; see the base class. The config of a training in the same work dir stays as it is."""
        self._write_config(overwrite=False)
        return super().test()

    def build_dataloader(
            self, dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False) -> DataLoader:
        """Build a data loader; the training data loader can resume in the middle of an epoch.

        Raises:
            ConfigError: If the data loader gives no batch.
        """
        built = super().build_dataloader(dataloader, seed, diff_rank_seed)
        where = next((f'{name}_dataloader' for name in ('train', 'val', 'test')
                      if dataloader is getattr(self, f'_{name}_dataloader')), 'dataloader')
        _check_not_empty(built, where)
        name_samples(built.dataset, where)
        if dataloader is self._train_dataloader and type(built) is DataLoader:
            return ResumableDataLoader.adopt(built, resuming=self._resume)
        return built

    def build_optim_wrapper(self, optim_wrapper: OptimWrapper | dict) -> OptimWrapper:
        """Build the optimizer wrapper; see the base class. Warns of ``custom_keys`` that are in no parameter's name."""
        settings = optim_wrapper.get('paramwise_cfg') if isinstance(optim_wrapper, dict) else None
        keys = settings.get('custom_keys') if isinstance(settings, dict) else None
        for key in keys if isinstance(keys, dict) else ():
            if not any(str(key) in name for name, _ in self.model.named_parameters()):
                self.logger.warning(f'optim_wrapper.paramwise_cfg.custom_keys: {key!r} is in the name of no parameter')
        return super().build_optim_wrapper(optim_wrapper)

    def build_param_scheduler(self, scheduler: Any) -> list | dict:
        """Build the schedules of the optimizer's parameters; see the base class.

        Raises:
            ConfigError: If a one-cycle schedule is shorter than the run, which would fail in the middle.
        """
        built = super().build_param_scheduler(scheduler)
        for schedule in itertools.chain(*built.values()) if isinstance(built, dict) else built:
            steps = getattr(schedule, 'total_steps', None)
            end = min(schedule.end, self.max_epochs if schedule.by_epoch else self.max_iters)
            if steps is not None and end - schedule.begin > steps:
                raise ConfigError(
                    f'param_scheduler: the cycle of {type(schedule).__name__} has {steps} steps, but the run '
                    f'{end - schedule.begin} {"epochs" if schedule.by_epoch else "iterations"}; set total_steps to the '
                    'length of the run')
        return built

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register the default hooks, with this package's ``CheckpointHook`` instead of MMEngine's."""
        hooks = dict(hooks or {})
        checkpoint = hooks.get('checkpoint', dict(type='CheckpointHook', interval=1))
        if isinstance(checkpoint, dict) and _is_of_mmengine(checkpoint.get('type')):
            hooks['checkpoint'] = {**checkpoint, 'type': 'mmreviewkd.CheckpointHook'}
        super().register_default_hooks(hooks)

    def load_or_resume(self) -> None:
        """Load or resume from a checkpoint; see the base class.

        Raises:
            CheckpointError: If the checkpoint cannot be used.
        """
        try:
            super().load_or_resume()
        except ConfigError:
            raise
        except Exception as error:  # a checkpoint can hold anything
            key = '--resume' if self._resume else 'load_from'
            raise CheckpointError(f'{key}: {self._load_from!r} cannot be used: {described(error)}') from error

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint completely or not at all; see the base class for the arguments."""
        if not isinstance(get_file_backend(out_dir, backend_args=kwargs.get('backend_args')), LocalBackend):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        save = super().save_checkpoint
        save_atomically(
            lambda partial: save(str(Path(partial).parent), Path(partial).name, *args, **kwargs),
            Path(out_dir) / filename)

    def _become_current(self) -> None:
        """Let ``get_current_instance`` find this runner's objects, not those of a runner that was built later.

        From them a model learns the iteration, which a warm-up depends on.
        """
        # Pure Python configs have no default scope.
        for instance in filter(None, (self.message_hub, self.logger, self.visualizer, self.default_scope)):
            instances = type(instance)._instance_dict
            if instances.get(instance.instance_name) is instance:
                instances.move_to_end(instance.instance_name)

    def _out_dir(self) -> str | None:
        return next((hook.out_dir for hook in self.hooks if isinstance(hook, MMEngineCheckpointHook)), None)

    def _choose_checkpoint(self) -> None:
        """Resume from the newest complete checkpoint if none is named, with the seed of the run that wrote it."""
        if not self._resume or self._load_from is not None:
            return
        chosen = [None, None]
        if is_main_process():
            found = newest_checkpoint(self.work_dir, self.logger.warning, self._out_dir())
            chosen = [found[0], found[1].get('seed')] if found else chosen
        broadcast_object_list(chosen)
        path, seed = chosen
        if path is None:
            self.logger.info(f'{self.work_dir} holds no checkpoint yet: the run starts from the beginning')
            self._resume, self._load_from = False, self.start_from
            return
        self._load_from = path
        if seed is not None and seed != self.seed:
            self._randomness_cfg.update(seed=seed)
            self.set_randomness(**self._randomness_cfg)


def _is_of_mmengine(kind: object) -> bool:
    """Whether the type of a checkpoint hook is MMEngine's, which may be named by its module."""
    if isinstance(kind, str) and kind.count('.') > 1:
        kind = get_object_from_string(kind)
    return kind in _CHECKPOINT_HOOKS


def _check_not_empty(loader: DataLoader, where: str) -> None:
    images = len(loader.dataset) if hasattr(loader.dataset, '__len__') else None
    try:
        batches = len(loader)
    except TypeError:  # of unknown length
        batches = None
    if images == 0:
        raise ConfigError(
            f'{where}: the data set ({type(loader.dataset).__name__}) is empty; check its paths, its classes '
            '(`metainfo`) and its `filter_cfg`')
    if batches == 0:
        raise ConfigError(
            f'{where}: {images} images give no batch of {loader.batch_size or loader.batch_sampler.batch_size}; '
            'use a smaller batch_size, or drop_last=False')
