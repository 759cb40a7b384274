"""Read the zip archives of ``torch.save``: check the directory first, then read the entries with their checksums."""

import io
import warnings
import zipfile
from collections.abc import Callable
from typing import BinaryIO

import torch

from .allowed_types import allowed_globals, state_builders
from .data_unpickler import DataUnpickler
from .refusal import Refusal, invalid, unsupported
from .tensors import Storage, claimed_bytes

_CHUNK = 2**24
_SCRIPT = ('constants.pkl', 'code/')


def read_zip_archive(file: BinaryIO, size: int, place: Callable[[torch.UntypedStorage, str], object]) -> object:
    """Read an archive of ``torch.save``.

    Args:
        file (BinaryIO): The archive.
        size (int): Its length in bytes.
        place (Callable): Moves a storage to a device; it gets the storage and the device that it was saved from.

    Returns:
        object: What was saved.

    Raises:
        Refusal: If it is another kind of archive, claims more bytes than the file has, or contains anything but data.
        zipfile.BadZipFile: If it is damaged; the checksum of each entry is compared.
    """
    with zipfile.ZipFile(file) as archive:
        root = _folder(archive.namelist())
        entries = _check_table(archive, size)
        order = entries.get(f'{root}/byteorder')
        if order is not None and archive.read(order) != b'little':
            raise unsupported('a checkpoint of a big-endian machine')
        storages: dict[str, torch.UntypedStorage] = {}

        def load_storage(persistent_id: tuple) -> Storage:
            key, dtype, device, length = claimed_bytes(persistent_id, 5)
            entry = entries.get(f'{root}/data/{key}')
            if entry is None or entry.file_size < length:
                raise invalid(f'a storage of {length} bytes, where the archive has {entry.file_size if entry else 0}')
            if key not in storages:
                storages[key] = place(_read_storage(archive, entry), device)
            return Storage(storages[key], dtype)

        pickled = io.BytesIO(archive.read(entries[f'{root}/data.pkl']))
        return DataUnpickler(pickled, allowed_globals(), state_builders(), load_storage).load()


def _check_table(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name; refuse entries that are compressed or larger than the file."""
    entries = archive.infolist()
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise unsupported('a compressed zip archive')
    claimed = sum(entry.file_size for entry in entries)
    if claimed > size:
        raise invalid(f'an archive whose entries claim {claimed} bytes in a file of {size}')
    by_name = {entry.filename: entry for entry in entries}
    if len(by_name) != len(entries):
        raise invalid('an archive with two entries of one name')
    return by_name


def _folder(names: list[str]) -> str:
    """Return the folder in the archive that ``torch.save`` puts all entries into."""
    folders = {name.partition('/')[0] for name in names}
    if any(name.partition('/')[2].startswith(_SCRIPT) for name in names):
        raise unsupported('a TorchScript archive, which is a program')
    folders = [folder for folder in folders if f'{folder}/data.pkl' in names]
    if len(folders) != 1:
        raise unsupported('a zip archive that torch.save did not write')
    return folders[0]


def _read_storage(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> torch.UntypedStorage:
    data = bytearray(entry.file_size)
    view, done = memoryview(data), 0
    with archive.open(entry) as file:
        while part := file.read(_CHUNK):  # zipfile compares the checksum at the end of the entry
            view[done:done + len(part)] = part
            done += len(part)
    if done != len(data):
        raise Refusal(f'is cut short: {entry.filename!r} holds {done} of {len(data)} bytes')
    return as_storage(data)


def as_storage(data: bytearray) -> torch.UntypedStorage:
    """Return the bytes as the memory of tensors, without copying."""
    if not data:
        return torch.UntypedStorage(0)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return torch.frombuffer(data, dtype=torch.uint8).untyped_storage()
