"""Open the source of a checkpoint: a path, a URL, or one of MMEngine's schemes."""

import contextlib
import io
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from mmengine.fileio import get_file_backend
from mmengine.runner import checkpoint as mmengine_checkpoint

from mmreviewkd.utils.errors import CheckpointError, did_you_mean

from .download import download

_SCHEME = re.compile(r'(\S+:)?([\w.+-]+)://')


@contextlib.contextmanager
def open_source(source: str, where: str) -> Iterator[BinaryIO]:
    """Open a checkpoint for reading.

    Args:
        source (str): A path; a URL; ``torchvision://``, ``open-mmlab://`` or ``mmcls://`` and a name of MMEngine's
            lists; ``pavi://``; or an address that one of MMEngine's file backends reads, such as ``s3://``.
        where (str): The config key or argument that names it, for messages.

    Yields:
        BinaryIO: The file.

    Raises:
        CheckpointError: If the file does not exist, or no file backend reads such addresses.
    """
    found = _SCHEME.match(source)
    scheme = found and found[2]
    if scheme in ('http', 'https') and not found[1]:
        path = download(source, where)
    elif scheme in _NAMED:
        path = _named(source[found.end():], source, _NAMED[scheme](), where)
    elif scheme == 'pavi':
        with _from_pavi(source, where) as file:
            yield file
        return
    elif scheme:
        with io.BytesIO(_from_backend(source, scheme, where)) as file:
            yield file
        return
    else:
        path = Path(source).expanduser()
    if not path.is_file():
        raise CheckpointError(f'{where}: there is no file {source!r} (seen from {Path.cwd()})')
    try:
        file = path.open('rb')
    except OSError as error:
        raise CheckpointError(f'{where}: cannot read {source!r} ({error.strerror})') from error
    with file:
        yield file


def _open_mmlab_models() -> dict[str, str]:
    models = mmengine_checkpoint.get_external_models()
    renamed = mmengine_checkpoint.get_deprecated_model_names()
    return {**models, **{old: models[new] for old, new in renamed.items() if new in models}}


# Looked up at each call, because these lists are files that a user may extend.
_NAMED: dict[str, Callable[[], dict[str, str]]] = {
    'torchvision': lambda: mmengine_checkpoint.get_torchvision_models(),
    'modelzoo': lambda: mmengine_checkpoint.get_torchvision_models(),
    'open-mmlab': _open_mmlab_models,
    'openmmlab': _open_mmlab_models,
    'mmcls': lambda: mmengine_checkpoint.get_mmcls_models(),
}


def _named(name: str, source: str, models: dict[str, str], where: str) -> Path:
    if name not in models:
        raise CheckpointError(f'{where}: {source!r} is in no list of MMEngine; {did_you_mean(name, models)}')
    if models[name].startswith(('http://', 'https://')):
        return download(models[name], where)
    return Path(mmengine_checkpoint._get_mmengine_home()) / models[name]


@contextlib.contextmanager
def _from_pavi(source: str, where: str) -> Iterator[BinaryIO]:
    try:
        from pavi import modelcloud
    except ImportError as error:
        raise CheckpointError(f'{where}: {source!r} needs the package pavi ({error})') from error
    model = modelcloud.get(source.removeprefix('pavi://'))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'checkpoint'
        model.download(str(path))
        with path.open('rb') as file:
            yield file


def _from_backend(source: str, scheme: str, where: str) -> bytes:
    ceph = dict(backend='petrel') if scheme in ('s3', 'petrel') else None
    try:
        content = get_file_backend(source, backend_args=ceph).get(source)
    except Exception as error:  # a file backend may raise any error
        reason = str(error).strip().split('\n')[0][:160] or type(error).__name__
        raise CheckpointError(
            f"{where}: {source!r} cannot be read by MMEngine's file backends ({reason}); get the file and give its path"
        ) from error
    return bytes(content)
