"""Read the older format of ``torch.save``, which is not a zip archive (the default before torch 1.6)."""

import struct
from collections.abc import Callable
from typing import BinaryIO

import torch

from .allowed_types import allowed_globals, state_builders
from .data_unpickler import DataUnpickler
from .refusal import Refusal, invalid, unsupported
from .tensors import Storage, claimed_bytes
from .zip_archive import as_storage

_MAGIC_NUMBER = 0x1950a86a20f9469cfc6c


def read_legacy_file(file: BinaryIO, size: int, place: Callable[[torch.UntypedStorage, str], object]) -> object:
    """Read a file of several pickles, followed by the bytes of the storages.

    Args:
        file (BinaryIO): The file.
        size (int): Its length in bytes.
        place (Callable): Moves a storage to a device; it gets the storage and the device that it was saved from.

    Returns:
        object: What was saved.

    Raises:
        Refusal: If it is another kind of pickle, claims more bytes than the file has, or contains anything but data.
    """
    if _plain(file) != _MAGIC_NUMBER:
        raise unsupported('a pickle that torch.save did not write')
    if _plain(file) != 1001 or not _plain(file).get('little_endian', True):
        raise unsupported('a checkpoint of another version or byte order')
    # The bytes of the storages follow the pickle that refers to them. The pickle is therefore read twice: first for the
    # sizes, which must fit into the file, then with the storages.
    start = file.tell()
    itemsizes = {}

    def note(persistent_id: tuple) -> Storage:
        key, dtype, _, length = _claim(persistent_id)
        if itemsizes.setdefault(key, (dtype, length)) != (dtype, length):
            raise invalid('two sizes of one storage')
        if sum(length for _, length in itemsizes.values()) > size:
            raise invalid(f'storages that claim more bytes than the file has ({size})')
        return Storage(torch.UntypedStorage(length, device='meta'), dtype)

    _unpickle(file, note)
    keys = _plain(file)
    if type(keys) is not list or set(map(str, keys)) != set(itemsizes):
        raise invalid('a list of storages that does not match them')
    memory = {}
    for key in keys:
        memory[key] = _read_storage(file, *itemsizes[key])
    placed = {}

    def load_storage(persistent_id: tuple) -> Storage:
        key, dtype, device, _ = _claim(persistent_id)
        if key not in placed:
            placed[key] = place(memory[key], device)
        return Storage(placed[key], dtype)

    file.seek(start)
    return _unpickle(file, load_storage)


def _claim(persistent_id: tuple) -> tuple[str, torch.dtype, str, int]:
    if type(persistent_id) is tuple and len(persistent_id) == 6 and persistent_id[5] is not None:
        raise unsupported('a checkpoint of torch 0.3 or older')
    return claimed_bytes(persistent_id, 6)


def _read_storage(file: BinaryIO, dtype: torch.dtype, length: int) -> torch.UntypedStorage:
    count = struct.unpack('<q', file.read(8))[0]
    if count * dtype.itemsize != length:
        raise invalid('a storage of two sizes')
    data = bytearray(file.read(length))
    if len(data) != length:
        raise Refusal('is no whole checkpoint, perhaps cut short: bytes of tensors are missing')
    return as_storage(data)


def _plain(file: BinaryIO) -> object:
    return _unpickle(file, None)


def _unpickle(file: BinaryIO, load_storage: Callable | None) -> object:
    return DataUnpickler(file, allowed_globals(), state_builders(), load_storage).load()
