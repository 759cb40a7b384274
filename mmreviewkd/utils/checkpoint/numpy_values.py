"""Build NumPy arrays and scalars of plain numbers from a pickle.

NumPy's own functions trust their arguments: an array whose dtype was altered to hold objects reads memory that it does
not own. Here every dtype is one of :data:`PLAIN`, and the number of bytes of an array is checked before NumPy reads
them.
"""

import math

import numpy as np

from .data_unpickler import Allowed
from .refusal import invalid

PLAIN = frozenset(
    ['b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8', 'c8', 'c16'])
_MAX_DIMENSIONS = 32


def plain_dtype(name: object, align: object = False, copy: object = True) -> np.dtype:
    """Return a dtype of numbers or booleans, in the byte order of this machine.

    Args:
        name (str): One of :data:`PLAIN`.
        align (bool): Ignored; part of the arguments in the pickle. Defaults to False.
        copy (bool): Ignored; part of the arguments in the pickle. Defaults to True.
    """
    if type(name) is not str or name not in PLAIN:
        raise invalid(f'a NumPy dtype {name!r:.60}, where plain numbers belong')
    return np.dtype(name)


def check_dtype_state(dtype: np.dtype, state: object) -> None:
    """Refuse a state for a dtype that differs from the state it has; a dtype is never altered.

    Args:
        dtype (np.dtype): The dtype.
        state (tuple): ``(version, byte order, subarray, names, fields, item size, alignment, flags)``.
    """
    if (type(state) is not tuple or len(state) < 7 or any(value is not None for value in state[2:5])
            or any(type(value) is not int for value in state[5:]) or state[1] not in ('<', '|', '=')
            or state[5] not in (-1, dtype.itemsize) or any(state[7:])):
        raise invalid('a NumPy dtype that is altered or of another byte order')


def empty_array(cls: object, shape: object, _typecode: object) -> np.ndarray:
    """Return an empty array, as ``numpy._reconstruct`` does, which :func:`set_array_state` fills.

    Args:
        cls (Allowed): ``numpy.ndarray``.
        shape (tuple): ``(0,)``.
    """
    if cls is not NDARRAY or shape != (0,):
        raise invalid('a NumPy array of another class or shape')
    return np.empty(0, np.int8)


def set_array_state(array: np.ndarray, state: object) -> None:
    """Fill an array.

    Args:
        array (np.ndarray): The result of :func:`empty_array`.
        state (tuple): ``(version, shape, dtype, whether it is in Fortran order, bytes)``.
    """
    _, shape, dtype, is_fortran, data = state
    if (type(shape) is not tuple or len(shape) > _MAX_DIMENSIONS
            or any(type(side) is not int or not 0 <= side < 2**48 for side in shape)):
        raise invalid(f'a NumPy array of shape {shape!r:.60}')
    _check_bytes(dtype, data, math.prod(shape))
    array.__setstate__((1, shape, dtype, bool(is_fortran), _normalized(dtype, data)))


def scalar(dtype: object, data: object = b'') -> np.generic:
    """Return a NumPy scalar.

    Args:
        dtype (np.dtype): Its type.
        data (bytes): Its bytes.
    """
    _check_bytes(dtype, data, 1)
    return np.frombuffer(_normalized(dtype, data), dtype)[0]


def _check_bytes(dtype: object, data: object, count: int) -> None:
    if not isinstance(dtype, np.dtype) or dtype.str[1:] not in PLAIN:
        raise invalid(f'a NumPy array of {dtype!r:.60}, where plain numbers belong')
    if type(data) is not bytes or len(data) != count * dtype.itemsize:
        raise invalid(f'a NumPy array of {count} elements whose bytes do not fit that')


def _normalized(dtype: np.dtype, data: bytes) -> bytes:
    return bytes(map(bool, data)) if dtype == np.bool_ else data


NDARRAY = Allowed('numpy.ndarray')


def numpy_globals() -> dict[str, object]:
    """Return the functions that pickles of plain arrays refer to, under the names of all versions of NumPy."""
    allowed = {'numpy.ndarray': NDARRAY, 'numpy.dtype': Allowed('numpy.dtype', plain_dtype)}
    for package in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed[f'{package}._reconstruct'] = Allowed(f'{package}._reconstruct', empty_array)
        allowed[f'{package}.scalar'] = Allowed(f'{package}.scalar', scalar)
    return allowed


def _builtin_dtype_classes() -> set[type]:
    return {type(np.dtype(name)) for name in PLAIN}


NUMPY_BUILDERS = {np.ndarray: set_array_state, **dict.fromkeys(_builtin_dtype_classes(), check_dtype_state)}
