"""Checkpoints are data, not programs: reading them never runs what they contain."""

import _codecs
import os
import pickle
import re
import tempfile
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils import digit_version
from torch import Tensor, nn

from .errors import CheckpointError
from .files import cannot_write

# From here on torch's own restricted unpickler can be taught types by name.
_TORCH_READS_DATA_ONLY = digit_version(torch.__version__) >= digit_version('2.6')
# The functions that the state of MMEngine's log buffers and schedulers refers to.
_METHODS = {
    HistoryBuffer: {'min', 'max', 'current', 'mean'},
    OneCycleParamScheduler: {'_annealing_cos', '_annealing_linear'},
}


def _known_method(owner: type, name: str) -> Callable:
    """What a checkpoint's ``getattr`` becomes: pickle writes the functions of a class that way."""
    if name not in _METHODS.get(owner, ()):
        raise pickle.UnpicklingError(f'Unsupported global: getattr({owner!r}, {name!r})')
    return getattr(owner, name)


def _mmengine_globals() -> dict[str, object]:
    """What a checkpoint of MMEngine's runner holds besides tensors and plain Python, by the names pickle uses."""
    allowed = {
        'builtins.getattr': _known_method,
        '__builtin__.getattr': _known_method,
        **{f'{cls.__module__}.{cls.__qualname__}': cls for cls in _METHODS},
        'numpy.ndarray': np.ndarray,
        'numpy.dtype': np.dtype,
        '_codecs.encode': _codecs.encode,
    }
    multiarray = getattr(np, '_core', None) or np.core
    for package in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed[f'{package}._reconstruct'] = multiarray.multiarray._reconstruct
        allowed[f'{package}.scalar'] = multiarray.multiarray.scalar
    for dtype in (np.float64, np.float32, np.int64, np.int32, np.bool_):
        allowed[f'numpy.dtypes.{type(np.dtype(dtype)).__name__}'] = type(np.dtype(dtype))
    return allowed


def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load(weights_only=True)`` read what MMEngine's runner writes, so that runs resume on torch >= 2.6.

    Nothing that could run code is let in: of ``getattr``, only the functions those types refer to.
    """
    if _TORCH_READS_DATA_ONLY:
        torch.serialization.add_safe_globals([(value, name) for name, value in _mmengine_globals().items()])


class _RestrictedUnpickler(pickle.Unpickler):
    """For torch < 2.6, whose own restricted unpickler cannot be taught further types."""

    def find_class(self, module: str, name: str) -> object:
        from torch._weights_only_unpickler import _get_allowed_globals
        module = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}.get(module, module)
        allowed = {**_get_allowed_globals(), **_mmengine_globals()}
        if f'{module}.{name}' not in allowed:
            raise pickle.UnpicklingError(f'Unsupported global: GLOBAL {module}.{name}')
        return allowed[f'{module}.{name}']


def _restricted_load(file: os.PathLike, map_location: str | torch.device | None) -> object:
    module = types.SimpleNamespace(
        Unpickler=_RestrictedUnpickler, UnpicklingError=pickle.UnpicklingError, __name__='restricted_pickle',
        load=lambda stream, **kwargs: _RestrictedUnpickler(stream, **kwargs).load())
    return torch.load(file, map_location=map_location, pickle_module=module, weights_only=False)


def load_checkpoint(source: str, map_location: str | torch.device | None = 'cpu', where: str = 'checkpoint') -> dict:
    """Read a checkpoint without running anything in it.

    Args:
        source (str): A path, or a URL (kept in torch's hub folder once downloaded).
        map_location (str or torch.device, optional): Where its tensors go. Defaults to 'cpu'.
        where (str): The config key or argument it comes from, for messages. Defaults to 'checkpoint'.

    Returns:
        dict: What the checkpoint holds.

    Raises:
        CheckpointError: If it is missing, cannot be downloaded, is damaged, or holds more than data.
    """
    path = _download(source, where) if urlparse(str(source)).scheme in ('http', 'https') else Path(source).expanduser()
    if not path.is_file():
        raise CheckpointError(f'{where}: there is no file {str(source)!r} (seen from {Path.cwd()})')
    try:
        if _TORCH_READS_DATA_ONLY:
            allow_mmengine_checkpoints()
            found = torch.load(path, map_location=map_location, weights_only=True)
        else:
            found = _restricted_load(path, map_location)
    except Exception as error:
        unsafe = re.search(r'(?:Unsupported (?:global|class)|GLOBAL)[: ]+(?:GLOBAL )?(\S+)', str(error))
        if unsafe:
            raise CheckpointError(
                f'{where}: {str(source)!r} holds more than data: it asks to load {unsafe[1]!r}, which could run code. '
                'Nothing was run. Ask its author for a file of tensors') from None
        reason = str(error).strip().split('\n')[0][:120] or type(error).__name__
        raise CheckpointError(
            f'{where}: {str(source)!r} ({path.stat().st_size} bytes) is no whole checkpoint, perhaps cut short while '
            f'it was written or copied ({reason})') from error
    if not isinstance(found, dict):
        raise CheckpointError(f'{where}: {str(source)!r} holds no dict but a {type(found).__name__}')
    return found


def _download(url: str, where: str) -> Path:
    from mmengine.dist import master_only
    path = Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(url).path).name
    digest = re.search(r'-([a-f0-9]{8,})\.', path.name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            master_only(torch.hub.download_url_to_file)(url, str(path), hash_prefix=digest and digest[1])
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f'{where}: could not download {url!r} ({error}); get it elsewhere and give its path') from error
        torch.distributed.barrier() if torch.distributed.is_initialized() else None
    return path


def guard_checkpoint_loading() -> None:
    """Make MMEngine's runner read paths and URLs through :func:`load_checkpoint` in this process."""
    for prefixes in ('', ('http://', 'https://')):
        CheckpointLoader.register_scheme(prefixes, load_from_data_only, force=True)


def load_from_data_only(filename: str, map_location: str | torch.device | None = None) -> dict:
    """The loader that :func:`guard_checkpoint_loading` registers; see :func:`load_checkpoint`."""
    return load_checkpoint(filename, map_location)


def state_dict_of(checkpoint: Mapping) -> dict[str, Tensor]:
    """The weights in a checkpoint, whatever its layout.

    Args:
        checkpoint (Mapping): An MMEngine checkpoint, or one that holds its weights under 'model', or bare weights.

    Returns:
        dict[str, Tensor]: The weights, without the 'module.' that parallel training puts before every name.
    """
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
            break
    state = {name: value for name, value in checkpoint.items() if isinstance(value, Tensor)}
    if state and all(name.startswith('module.') for name in state):
        state = {name[len('module.'):]: value for name, value in state.items()}
    return state


def check_fit(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights that do not fit a model exactly.

    Weights that fit as soon as the model has renamed or resized, while it loads them, what older versions of it saved
    (mmpretrain's Swin and Vision Transformers do), are let pass; the model then holds them.

    Args:
        model (nn.Module): The model.
        state (Mapping[str, Tensor]): The weights by name.
        where (str): The config key and file, for messages.

    Raises:
        CheckpointError: If names are missing or left over, or shapes differ; it counts and names them.
    """
    own = model.state_dict()
    misfits = {
        'missing': [name for name in own if name not in state and not name.endswith('num_batches_tracked')],
        'unexpected': [name for name in state if name not in own and not name.startswith('data_preprocessor.')],
        'of another shape': [
            f'{name} {tuple(state[name].shape)}, not {tuple(own[name].shape)}'
            for name in own if name in state and state[name].shape != own[name].shape],
    }
    if any(misfits.values()) and not _fits_once_loaded(model, state):
        counts = '; '.join(
            f'{len(names)} {kind} ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'
            for kind, names in misfits.items() if names)
        raise CheckpointError(
            f'{where} does not fit {type(model).__name__}: of {len(own)} entries, {counts}')


def _fits_once_loaded(model: nn.Module, state: Mapping[str, Tensor]) -> bool:
    try:
        rest = model.load_state_dict(state, strict=False)
    except Exception:  # whatever a model's own conversion makes of weights of another one
        return False
    return all(name.endswith('num_batches_tracked') for name in rest.missing_keys) and all(
        name.startswith('data_preprocessor.') for name in rest.unexpected_keys)


def load_weights(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights that fit a model exactly; see :func:`check_fit`."""
    check_fit(model, state, where)
    # Not strict only towards what check_fit lets pass: counters of batches and the buffers of a preprocessor.
    model.load_state_dict(state, strict=False)


def save_atomically(write: Callable[[str], object], path: Path) -> None:
    """Write a file completely or not at all.

    Args:
        write (Callable[[str], object]): Writes to the path it is given.
        path (Path): Where the file ends up; its folder is made.

    Raises:
        CheckpointError: If it cannot be written, as on a full disk; the message names the file and the free space. What
            was there before is left as it was.
    """
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix=path.suffix)
        os.close(handle)
        write(partial)
        os.chmod(partial, 0o644)
        with open(partial, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        raise cannot_write(path, error) from error
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)
