"""Pickles and archives assembled by hand, as no `torch.save` would write them."""

import pickle
import struct
import zipfile
from pathlib import Path

MAGIC_NUMBER = 0x1950a86a20f9469cfc6c


def value(data: object) -> bytes:
    """The instructions that push plain data."""
    return pickle.dumps(data, 2)[2:-1]


def name(dotted: str) -> bytes:
    module, _, attribute = dotted.rpartition('.')
    return f'c{module}\n{attribute}\n'.encode()


def tuple_of(*parts: bytes) -> bytes:
    return b'(' + b''.join(parts) + b't'


def call(function: str | bytes, *args: bytes) -> bytes:
    return (name(function) if isinstance(function, str) else function) + tuple_of(*args) + b'R'


def state(target: bytes, content: bytes) -> bytes:
    return target + content + b'b'


def storage(key: str = '0', count: int = 4, kind: str = 'torch.FloatStorage', legacy: bool = False) -> bytes:
    parts = [value('storage'), name(kind), value(key), value('cpu'), value(count)]
    return tuple_of(*parts, *([value(None)] if legacy else [])) + b'Q'


def tensor(*, where: bytes | None = None, offset: int = 0, size: object = (4,), stride: object = (1,)) -> bytes:
    return call(
        'torch._utils._rebuild_tensor_v2', where or storage(), value(offset), value(size), value(stride), value(False),
        call('collections.OrderedDict'))


def checkpoint(content: bytes) -> bytes:
    """A whole pickle of a dict that has the content under 'state_dict'."""
    return b'\x80\x02}' + value('state_dict') + content + b's.'


def write_archive(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None, **options) -> Path:
    """A zip archive as `torch.save` writes it; `options` are `zipfile.ZipFile`'s."""
    with zipfile.ZipFile(path, 'w', **options) as archive:
        archive.writestr('archive/data.pkl', pickled)
        archive.writestr('archive/byteorder', b'little')
        for key, data in ({'0': bytes(16)} if storages is None else storages).items():
            archive.writestr(f'archive/data/{key}', data)
        archive.writestr('archive/version', b'3\n')
    return path


def write_legacy(path: Path, pickled: bytes, storages: dict[str, tuple[int, bytes]] | None = None) -> Path:
    """A file as `torch.save` wrote it before torch 1.6."""
    storages = {'0': (4, bytes(16))} if storages is None else storages
    system = dict(protocol_version=1001, little_endian=True, type_sizes=dict(short=2, int=4, long=4))
    parts = [*(pickle.dumps(part, 2) for part in (MAGIC_NUMBER, 1001, system)), pickled, pickle.dumps([*storages], 2)]
    path.write_bytes(b''.join(parts) + b''.join(struct.pack('<q', count) + data for count, data in storages.values()))
    return path
