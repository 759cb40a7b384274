"""NumPy values are plain numbers, or refused before NumPy sees them."""

import numpy as np
import pytest
import torch
from pickles import call, checkpoint, name, state, tuple_of, value, write_archive

from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint import load_checkpoint

PACKAGES = ['numpy.core.multiarray', 'numpy._core.multiarray']


def dtype(kind: object, content: object = (3, '<', None, None, None, -1, -1, 0)) -> bytes:
    return state(call('numpy.dtype', value(kind), value(False), value(True)), value(content))


def array(shape: object = (2,), of: bytes | None = None, data: object = bytes(16), package: str = PACKAGES[0]) -> bytes:
    made = call(f'{package}._reconstruct', name('numpy.ndarray'), value((0,)), value(b'b'))
    return state(made, tuple_of(value(1), value(shape), of or dtype('f8'), value(False), value(data)))


def scalar(of: bytes, *data: object) -> bytes:
    return call('numpy.core.multiarray.scalar', of, *map(value, data))


def subarray() -> bytes:
    """A dtype of 8 bytes whose state says that it holds pairs of Python objects."""
    return state(call('numpy.dtype', value('V8'), value(False), value(True)), tuple_of(
        *map(value, (3, '|')), tuple_of(dtype('O8', (3, '|', None, None, None, -1, -1, 63)), value((1,))),
        *map(value, (None, None, 8, 1, 0))))


CRAFTED = {
    'objects': array(of=dtype('O8', (3, '|', None, None, None, -1, -1, 63))),
    'objects as a list': array(of=dtype('O8', (3, '|', None, None, None, -1, -1, 63)), data=[1, 2]),
    'sub-arrays of objects': array(of=subarray()),
    'a dtype that becomes sub-arrays': array(of=dtype('f8', (3, '<', ('f8', (9,)), None, None, -1, -1, 0))),
    'fields': array(of=dtype('f8', (3, '<', None, ('a',), {'a': ('O', 0)}, 8, 1, 0))),
    'names alone': array(of=dtype('f8', (3, '<', None, ('a',), None, 8, 1, 0))),
    'another item size': array(of=dtype('f8', (3, '<', None, None, None, 800, -1, 0))),
    'flags of objects': array(of=dtype('f8', (3, '<', None, None, None, -1, -1, 63))),
    'another byte order': array(of=dtype('f8', (3, '>', None, None, None, -1, -1, 0))),
    'a state that is short': array(of=dtype('f8', (3, '<'))),
    'a state that is no tuple': array(of=dtype('f8', {'a': 1})),
    'void': array(of=dtype('V8')),
    'text': array(of=dtype('U2')),
    'bytes': array(of=dtype('S8')),
    'times': array(of=dtype('M8')),
    'several fields by name': array(of=dtype('f8,O')),
    'a dtype of a list': array(of=dtype([('a', 'O')])),
    'a dtype of a dict': array(of=dtype({'names': ['a'], 'formats': ['O']})),
    'a dtype that is text': array(of=value('f8')),
    'fewer bytes than elements': array(shape=(10**6,)),
    'more bytes than elements': array(shape=(1,)),
    'a negative side': array(shape=(-2,)),
    'two negative sides': array(shape=(-1, -2)),
    'sides that overflow': array(shape=(2**62, 4)),
    'a side that is a float': array(shape=(2.0,)),
    'a shape that is a number': array(shape=2),
    'a hundred sides': array(shape=(2, *[1] * 99)),
    'bytes as text': array(data='0' * 16),
    'bytes that are none': array(data=None),
    'a tensor of bytes': array(data=[b'0' * 16]),
    'another class': state(call(f'{PACKAGES[0]}._reconstruct', name('collections.OrderedDict'), value((0,)),
                                value(b'b')), value({})),
    'a huge array to begin with': call(f'{PACKAGES[0]}._reconstruct', name('numpy.ndarray'), value((10**12,)),
                                       value(b'b')),
    'a scalar of an object': scalar(dtype('O8'), bytes(8)),
    'a scalar of an altered dtype': scalar(subarray(), bytes(8)),
    'a scalar with too few bytes': scalar(dtype('f8'), bytes(1)),
    'a scalar without bytes': scalar(dtype('f8')),
    'a scalar of text': scalar(dtype('f8'), 'ab'),
    'numbers set in an array': array() + value(0) + value(1) + b's',
    'numpy.load': call('numpy.load', value('file')),
    'memmap': call('numpy.memmap', value('file')),
    'a record array': call(f'{PACKAGES[0]}._reconstruct', name('numpy.recarray'), value((0,)), value(b'b')),
    'a buffer': call('numpy.core.numeric._frombuffer', value(bytes(8)), value('O'), value((1,)), value('C')),
    'a ufunc': call('numpy.core._ufunc_reconstruct', value('os'), value('system')),
}


@pytest.mark.parametrize('kind', CRAFTED)
def test_crafted_values_are_refused(kind, tmp_path):
    path = write_archive(tmp_path / 'crafted.pth', checkpoint(CRAFTED[kind]))
    with pytest.raises(CheckpointError, match=r'holds (invalid data|more than data)'):
        load_checkpoint(str(path))


@pytest.mark.parametrize('package', PACKAGES)
def test_every_version_of_numpy_is_understood(package, tmp_path):
    path = write_archive(tmp_path / 'array.pth', checkpoint(array((1, 2), data=np.array([1.5, -2]).tobytes(),
                                                                  package=package)))
    assert load_checkpoint(str(path))['state_dict'].tolist() == [[1.5, -2]]


def test_plain_arrays_come_back(tmp_path):
    arrays = {kind: np.arange(6).reshape(2, 3).astype(kind) for kind in ('?', 'i1', 'u2', 'i4', 'i8', 'f2', 'f8', 'c8')}
    arrays['fortran'] = np.asfortranarray(arrays['f8'])
    arrays['empty'] = np.zeros((0, 4))
    arrays['no axis'] = np.array(3)
    scalars = [np.float32(0.1), np.int64(-3), np.bool_(True), np.complex64(1j)]
    twice = [arrays['f8'], arrays['f8']]
    torch.save(dict(arrays=arrays, scalars=scalars, twice=twice), tmp_path / 'arrays.pth')
    found = load_checkpoint(str(tmp_path / 'arrays.pth'))
    for kind, expected in arrays.items():
        assert found['arrays'][kind].dtype == expected.dtype, kind
        np.testing.assert_array_equal(found['arrays'][kind], expected)
    assert found['scalars'] == scalars and [type(x) for x in found['scalars']] == [type(x) for x in scalars]
    assert found['twice'][0] is found['twice'][1]
    found['arrays']['f8'][0, 0] = 7


def test_booleans_are_zero_or_one(tmp_path):
    path = write_archive(tmp_path / 'bools.pth', checkpoint(array(of=dtype('b1'), data=b'\x07\x00')))
    assert load_checkpoint(str(path))['state_dict'].view(np.uint8).tolist() == [1, 0]
