"""Choose the reader of a file by its format, and name formats that are not supported."""

import tarfile
import zipfile
from collections.abc import Callable
from typing import BinaryIO

import torch

from .legacy_file import read_legacy_file
from .refusal import Refusal, unsupported
from .safetensors_file import looks_like_safetensors, read_safetensors_file
from .zip_archive import read_zip_archive

_OTHERS = {
    b'\x1f\x8b': 'a gzip file', b'BZh': 'a bzip2 file', b'\xfd7zXZ': 'an xz file', b'7z\xbc\xaf': 'a 7z archive',
    b'<!': 'a web page, perhaps an error message of the server', b'<html': 'a web page',
    b'version https://git-lfs': 'a pointer of Git LFS to a file that was not fetched', b'\x89HDF': 'an HDF5 file',
    b'\x93NUMPY': 'a NumPy file'}


def read(file: BinaryIO, size: int, place: Callable[[torch.UntypedStorage, str], object]) -> object:
    """Read a file written by ``torch.save``, or a safetensors file.

    Args:
        file (BinaryIO): The file, which must be seekable.
        size (int): Its length in bytes.
        place (Callable): Moves a storage to a device; it gets the storage and the device that it was saved from.

    Returns:
        object: What was saved; of a safetensors file, its tensors by name.

    Raises:
        Refusal: If the file is of another format, or contains anything but data.
    """
    head = file.read(512)
    file.seek(0)
    for start, name in _OTHERS.items():
        if head.startswith(start):
            raise unsupported(name)
    if looks_like_safetensors(head, size):
        return read_safetensors_file(file, size, place)
    if head[257:262] == b'ustar' or _is_old_tar(head):
        raise unsupported('a tar archive')
    if zipfile.is_zipfile(file) and head.startswith(b'PK'):
        file.seek(0)
        return read_zip_archive(file, size, place)
    file.seek(0)
    if head[:1] == b'\x80':
        return read_legacy_file(file, size, place)
    raise Refusal('is no whole checkpoint, perhaps cut short or damaged while it was written or copied')


def _is_old_tar(head: bytes) -> bool:
    if len(head) < 512 or head.startswith((b'PK', b'\x80')):
        return False
    try:
        tarfile.TarInfo.frombuf(head, 'utf-8', 'surrogateescape')
    except tarfile.HeaderError:
        return False
    return True
