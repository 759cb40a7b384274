"""Read safetensors files: a length, a JSON header, and the bytes of the tensors."""

import json
import math
from collections.abc import Callable
from typing import BinaryIO

import torch
from torch import Tensor

from .refusal import Refusal, expecting, invalid, unsupported
from .tensors import Storage, rebuild_tensor
from .zip_archive import as_storage

# The types of the format whose counterparts every supported torch has; further ones are looked up by name.
_DTYPES = dict(
    F64=torch.float64, F32=torch.float32, F16=torch.float16, BF16=torch.bfloat16, I64=torch.int64, I32=torch.int32,
    I16=torch.int16, I8=torch.int8, U8=torch.uint8, BOOL=torch.bool, C64=torch.complex64)
_NEWER = dict(U16='uint16', U32='uint32', U64='uint64', F8_E4M3='float8_e4m3fn', F8_E5M2='float8_e5m2')
_MOST_HEADER_BYTES = 2**24
_METADATA = '__metadata__'


def looks_like_safetensors(head: bytes, size: int) -> bool:
    """Whether a file begins like a safetensors file.

    Args:
        head (bytes): Its first bytes.
        size (int): Its length in bytes.
    """
    return head[8:9] == b'{' and 2 <= int.from_bytes(head[:8], 'little') <= size - 8


def read_safetensors_file(
        file: BinaryIO, size: int, place: Callable[[torch.UntypedStorage, str], object]) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file; its metadata are ignored.

    Args:
        file (BinaryIO): The file.
        size (int): Its length in bytes.
        place (Callable): Moves a storage to a device; it gets the storage and the device that it was saved from.

    Returns:
        dict[str, Tensor]: The tensors by name.

    Raises:
        Refusal: If the header is invalid, or does not describe every byte of the file exactly once.
    """
    length = int.from_bytes(file.read(8), 'little')
    if length > _MOST_HEADER_BYTES:
        raise invalid(f'a safetensors header of {length} bytes')
    with expecting('the header of a safetensors file'):
        header = json.loads(file.read(length).decode(), object_pairs_hook=_without_duplicates)
    entries = [(name, *_entry(name, entry)) for name, entry in header.items() if name != _METADATA]
    entries.sort(key=lambda entry: entry[3:])
    _check_layout([entry[3:] for entry in entries], size - 8 - length)
    tensors = {}
    for name, dtype, shape, begin, end in entries:
        data = bytearray(file.read(end - begin))
        if len(data) != end - begin:
            raise Refusal(f'is cut short: {name!r:.80} holds {len(data)} of {end - begin} bytes')
        strides = [math.prod(shape[axis + 1:]) for axis in range(len(shape))]
        tensors[name] = rebuild_tensor(Storage(place(as_storage(data), 'cpu'), dtype), 0, shape, strides)
    return {name: tensors[name] for name in header if name != _METADATA}


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise invalid('a safetensors header with two entries of one name')
    return found


def _entry(name: str, entry: object) -> tuple[torch.dtype, list[int], int, int]:
    """The type, the shape and the range of bytes of a tensor."""
    if not isinstance(entry, dict) or set(entry) != {'dtype', 'shape', 'data_offsets'}:
        raise invalid(f'a safetensors header whose entry {name!r:.80} lacks type, shape or place')
    shape, offsets = entry['shape'], entry['data_offsets']
    if not (_are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2):
        raise invalid(f'a safetensors header whose entry {name!r:.80} has no valid shape or place')
    kind = entry['dtype']
    dtype = _DTYPES.get(kind) or getattr(torch, _NEWER.get(kind, ''), None) if isinstance(kind, str) else None
    if dtype is None:
        raise unsupported(f'a safetensors file with tensors of type {kind!r:.40}')
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise invalid(f'{name!r:.80} of {shape!r:.60} {kind} in {end - begin} bytes')
    return dtype, shape, begin, end


def _are_sizes(values: object) -> bool:
    return type(values) is list and len(values) <= 64 and all(
        type(value) is int and 0 <= value < 2**63 for value in values)


def _check_layout(places: list[tuple[int, int]], available: int) -> None:
    """Refuse tensors that overlap, leave bytes out or lie outside of the file."""
    position = 0
    for begin, end in places:
        if begin != position:
            raise invalid('a safetensors header whose tensors overlap or leave bytes out')
        position = end
    if position > available:
        raise Refusal(f'is cut short: its tensors need {position} bytes, of which {max(available, 0)} are there')
    if position < available:
        raise invalid(f'{available - position} bytes after the last tensor')
