"""Make the first batch of a training pipeline, from made-up data if its images are not on this machine."""

import contextlib
import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from PIL import UnidentifiedImageError

from mmreviewkd.engine.named_samples import name_samples
from mmreviewkd.utils.errors import ConfigError

from .made_up_data import made_up_data

# Messages of mmpretrain's data sets in a RuntimeError if files are missing.
_MISSING = ('cannot find', 'found no', 'not found', 'no such file')


class NoBatchError(ConfigError):
    """Raised if the training pipeline yields no batch, not even from made-up data."""


@dataclass(frozen=True)
class FirstBatch:
    """The first batch of a training pipeline.

    Args:
        data (dict): The batch, as the data loader gives it to the data preprocessor.
        batches (int, optional): Batches of an epoch; None if they are not known. Defaults to None.
        missing (str): Why the data are made up; empty if they are real. Defaults to ''.
    """

    data: dict
    batches: int | None = None
    missing: str = ''


def first_batch(cfg: Config, model: ConfigDict) -> FirstBatch:
    """Make the first batch of a training pipeline, with ``num_workers=0`` and without downloading data.

    The caller sets the default scope and preserves the random state.

    Args:
        cfg (Config): A config with a ``train_dataloader``.
        model (ConfigDict): The config of the student, which tells made-up data its classes and channels.

    Raises:
        NoBatchError: If its images are not on this machine, and its pipeline does not accept made-up ones.
        ConfigError: If its pipeline fails, as on a damaged image, which the message names.
    """
    loader = _in_this_process(cfg.train_dataloader)
    try:
        with _pipeline_errors_named():
            built = Runner.build_dataloader(loader, seed=0)
            name_samples(built.dataset, 'train_dataloader')
            return FirstBatch(next(iter(built)), len(built))
    except (ConfigError, OSError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, ConfigError) else error
        if not _means_missing(cause):
            raise
        missing = _reason(cause)
    return FirstBatch(made_up_batch(cfg, model), missing=missing)


def made_up_batch(cfg: Config, model: ConfigDict, small: bool = False) -> dict:
    """Make the first batch of a training pipeline from made-up data; see :func:`first_batch`.

    Args:
        cfg (Config): A config with a ``train_dataloader``.
        model (ConfigDict): The config of the student.
        small (bool): Whether the batch may have two images only. Defaults to False.

    Raises:
        NoBatchError: If the pipeline does not accept made-up images.
    """
    loader = _in_this_process(cfg.train_dataloader)
    if small and loader.get('batch_size') and 'batch_size' not in (loader.get('sampler') or {}):
        loader.batch_size = min(loader.batch_size, 2)
    batch_size = loader.get('batch_size') or (loader.get('batch_sampler') or {}).get('batch_size', 2)
    whole = model if model.get('data_preprocessor') else dict(model, cfg=cfg.get('data_preprocessor'))
    with made_up_data(loader, ConfigDict(whole), batch_size) as loader, _pipeline_errors_named(True):
        return next(iter(Runner.build_dataloader(loader, seed=0)))


def _in_this_process(loader: ConfigDict) -> ConfigDict:
    """A copy of a data loader's config without workers."""
    loader = copy.deepcopy(loader)
    loader.update(num_workers=0, persistent_workers=False)
    for key in ('prefetch_factor', 'timeout', 'multiprocessing_context'):
        loader.pop(key, None)
    _forbid_downloads(loader.dataset)
    return loader


def _means_missing(error: BaseException | None) -> bool:
    """Whether an error means that files are missing, rather than damaged."""
    if isinstance(error, RuntimeError):
        return any(hint in str(error).lower() for hint in _MISSING)
    return isinstance(error, OSError) and not isinstance(error, UnidentifiedImageError)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f'{error.strerror}: {str(error.filename)!r}'
    return ' '.join(str(error).partition(', ')[0].split())[:120]


@contextlib.contextmanager
def _pipeline_errors_named(everything: bool = False) -> Iterator[None]:
    """Turn errors of the data pipeline into a ConfigError, except those that mean missing files."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        if isinstance(error, (OSError, RuntimeError)) and not everything:
            raise
        message = ' '.join(str(error).split()) or 'no message'
        reason = f'{type(error).__name__}: {message:.300}'
        if everything:
            raise NoBatchError(f'the images are not here, and the pipeline takes no made-up ones: {reason}') from error
        raise ConfigError(f'train_dataloader: no batch can be made: {reason}') from error


def _forbid_downloads(dataset: ConfigDict) -> None:
    """Keep data sets such as mmpretrain's CIFAR100 from downloading their files."""
    kind = dataset.get('type')
    with DATASETS.switch_scope_and_registry(None) as registry:  # the library of the default scope
        cls = registry.get(kind) if isinstance(kind, str) else kind
    while inspect.isclass(cls) and cls is not object:
        if 'download' in inspect.signature(cls.__init__).parameters:
            dataset['download'] = False
            break
        cls = cls.__mro__[1]
    for part in [dataset.get('dataset'), *(dataset.get('datasets') or [])]:
        if isinstance(part, dict):
            _forbid_downloads(part)
