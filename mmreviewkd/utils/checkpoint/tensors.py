"""Build tensors on storages whose size has been checked."""

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .data_unpickler import Allowed
from .refusal import invalid

_STORAGES = dict(
    FloatStorage=torch.float32, DoubleStorage=torch.float64, HalfStorage=torch.float16, BFloat16Storage=torch.bfloat16,
    LongStorage=torch.int64, IntStorage=torch.int32, ShortStorage=torch.int16, CharStorage=torch.int8,
    ByteStorage=torch.uint8, BoolStorage=torch.bool, ComplexFloatStorage=torch.complex64,
    ComplexDoubleStorage=torch.complex128, UntypedStorage=torch.uint8)
# A view may repeat elements of its storage (`expand`), but must not make a huge tensor of a small file.
_MOST_REPEATED = 2**24
_MOST_DIMENSIONS = 64
_DTYPE = re.compile(r'u?int(8|16|32|64)|bool|bfloat16|float(16|32|64)|float8_\w+|complex(32|64|128)')


@dataclass
class Storage:
    """The memory of one or more tensors.

    Attributes:
        memory (torch.UntypedStorage): The bytes.
        dtype (torch.dtype): The type of its elements.
    """

    memory: torch.UntypedStorage
    dtype: torch.dtype


def claimed_bytes(persistent_id: tuple, length: int) -> tuple[str, torch.dtype, str, int]:
    """Parse a storage's persistent id.

    Args:
        persistent_id (tuple): ``('storage', type, key, device, number of elements, ...)``.
        length (int): The number of its entries.

    Returns:
        tuple[str, torch.dtype, str, int]: The key, type, device and the number of bytes.
    """
    if type(persistent_id) is not tuple or len(persistent_id) != length or persistent_id[0] != 'storage':
        raise invalid('a reference to an object that is not a storage')
    _, kind, key, device, count = persistent_id[:5]
    dtype = kind.value if isinstance(kind, Allowed) else None
    if (not isinstance(dtype, torch.dtype) or type(key) is not str or type(device) is not str
            or type(count) is not int or count < 0):
        raise invalid('a storage of unknown type or size')
    return key, dtype, device, count * dtype.itemsize


def rebuild_tensor(
        storage: object, offset: object, size: object, stride: object, dtype: torch.dtype | None = None) -> Tensor:
    """Build a tensor on a storage, which must be large enough for it.

    Args:
        storage (Storage): The memory.
        offset (int): The offset of the first element, in elements.
        size (tuple[int, ...]): The shape.
        stride (tuple[int, ...]): The strides, in elements.
        dtype (torch.dtype, optional): The type of its elements. Defaults to the storage's.
    """
    if not isinstance(storage, Storage):
        raise invalid(f'a tensor on a {type(storage).__name__} in place of a storage')
    size, stride = _numbers(size), _numbers(stride)
    dtype = dtype or storage.dtype
    if not isinstance(dtype, torch.dtype) or len(size) != len(stride) or type(offset) is not int or offset < 0:
        raise invalid('a tensor whose size, strides or offset contradict each other')
    available = storage.memory.nbytes() // dtype.itemsize
    count = math.prod(size)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride)) + 1 if count else 0
    if last > available or count > max(available, _MOST_REPEATED) or (not count and max(size) >= 2**31):
        raise invalid(f'a tensor of {size!r:.60}, on a storage of {available} elements')
    return torch.empty(0, dtype=dtype, device=storage.memory.device).set_(
        storage.memory, offset if count else 0, size, stride)


def _numbers(values: object) -> tuple[int, ...]:
    if (type(values) not in (tuple, list, torch.Size) or len(values) > _MOST_DIMENSIONS
            or any(type(value) is not int or not 0 <= value < 2**63 for value in values)):
        raise invalid(f'sizes or strides {values!r:.60}')
    return tuple(values)


def _tensor_v2(
        storage: object, offset: object, size: object, stride: object, requires_grad: object = False,
        _hooks: object = None, _metadata: object = None) -> Tensor:
    return rebuild_tensor(storage, offset, size, stride).requires_grad_(requires_grad is True)


def _tensor_v3(
        storage: object, offset: object, size: object, stride: object, requires_grad: object, _hooks: object,
        dtype: object, _metadata: object = None) -> Tensor:
    return rebuild_tensor(storage, offset, size, stride, dtype).requires_grad_(requires_grad is True)


def _parameter(
        data: object, requires_grad: object = True, _hooks: object = None, _state: object = None) -> nn.Parameter:
    if not isinstance(data, Tensor):
        raise invalid(f'a parameter of a {type(data).__name__}')
    return nn.Parameter(data.detach(), requires_grad is True)


def _with_attributes(function: object, cls: object, args: object, _state: object) -> Tensor:
    if function not in _REBUILD or cls not in (_TENSOR, _PARAMETER) or type(args) is not tuple:
        raise invalid('a tensor of another class')
    return function.call(*args)  # Python attributes of a tensor are not weights


def _size(values: object = ()) -> torch.Size:
    return torch.Size(_numbers(values))


def _device(kind: object, index: object = None) -> torch.device:
    return torch.device(kind) if index is None else torch.device(kind, index)


_REBUILD = [
    Allowed('torch._utils._rebuild_tensor', rebuild_tensor),
    Allowed('torch._utils._rebuild_tensor_v2', _tensor_v2),
    Allowed('torch._utils._rebuild_tensor_v3', _tensor_v3),
    Allowed('torch._utils._rebuild_parameter', _parameter),
    Allowed('torch._utils._rebuild_parameter_with_state', _parameter)]
_TENSOR = Allowed('torch.Tensor')
_PARAMETER = Allowed('torch.nn.parameter.Parameter')


def tensor_globals() -> dict[str, object]:
    """Return the functions and types that a pickle of tensors refers to."""
    functions = [
        *_REBUILD, _TENSOR, _PARAMETER, Allowed('torch._tensor._rebuild_from_type_v2', _with_attributes),
        Allowed('torch.Size', _size), Allowed('torch.device', _device)]
    dtypes = {
        f'torch.{name}': value for name, value in vars(torch).items()
        if isinstance(value, torch.dtype) and _DTYPE.fullmatch(name)}
    storages = {
        f'{module}.{name}': Allowed(f'{module}.{name}', value=dtype)
        for module in ('torch', 'torch.cuda', 'torch.storage') for name, dtype in _STORAGES.items()}
    return {**{function.name: function for function in functions}, **dtypes, **storages}
