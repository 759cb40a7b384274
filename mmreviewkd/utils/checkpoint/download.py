"""Download files once per machine and URL, completely or not at all."""

import functools
import hashlib
import re
import shutil
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlparse

import filelock
import rich.console
import rich.progress
import torch

from mmreviewkd.utils.errors import CheckpointError

from .atomic import save_atomically

_TIMEOUT = 60  # seconds without any data


def cached_path(url: str) -> Path:
    """Return the cache file of a URL, in torch's hub folder and different for each URL.

    Args:
        url (str): The URL.
    """
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return _hub() / digest / _file_name(url)


def download(url: str, where: str) -> Path:
    """Return the file of a URL; download it if it is not in the cache.

    The processes of a machine share one download: one of them holds a lock while the others wait. The content is
    verified by the SHA-256 in the file's name, as in ``resnet18-f37072fd.pth``, or by its length if there is none.

    Args:
        url (str): The URL.
        where (str): The config key or argument that names it, for messages.

    Returns:
        Path: The file.

    Raises:
        CheckpointError: If the download fails, or its hash or length is wrong.
    """
    try:
        path = cached_path(url)
        if path.is_file():
            return path
        digest = _digest_in_name(url)
        shared = _hub() / _file_name(url)  # torch's hub caches files by their name only
        if digest and shared.is_file() and _sha256(shared).startswith(digest):
            return shared
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.parent / 'lock'):
            if not path.is_file():
                save_atomically(functools.partial(_fetch, url, digest), path)
    except (OSError, HTTPException, ValueError) as error:
        raise CheckpointError(
            f'{where}: could not download {url!r} ({error}); get it elsewhere and give its path') from error
    return path


def _hub() -> Path:
    return Path(torch.hub.get_dir()) / 'checkpoints'


def _file_name(url: str) -> str:
    return Path(unquote(urlparse(url).path)).name[-100:] or 'checkpoint'


def _digest_in_name(url: str) -> str | None:
    found = re.search(r'-([a-f0-9]{8,64})\.', _file_name(url))
    return found and found[1]


def _fetch(url: str, digest: str | None, target: str) -> None:
    request = urllib.request.Request(url, headers={'User-Agent': 'mmreviewkd'})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response, open(target, 'wb') as file:
        length = int(response.headers.get('Content-Length', -1))
        with rich.progress.wrap_file(
                response, total=max(length, 0), description=_file_name(url), disable=not sys.stderr.isatty(),
                console=rich.console.Console(stderr=True)) as reader:
            shutil.copyfileobj(reader, file, 2**20)
    received = Path(target).stat().st_size
    if length not in (-1, received):
        raise OSError(f'only {received} of {length} bytes were received')
    if digest and not _sha256(Path(target)).startswith(digest):
        raise OSError(f'its content does not have the SHA-256 in its name, {digest}...')


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        digest = hashlib.sha256()
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()
