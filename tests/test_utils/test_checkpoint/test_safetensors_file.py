"""Safetensors files are read exactly, and refused if their header does not describe them exactly."""

import json

import pytest
import torch

from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint import load_checkpoint


def file_of(header, data=b''):
    """The bytes of a safetensors file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, 'little') + text + data


def entry(dtype='F32', shape=(2,), begin=0, end=8, **more):
    return dict(dtype=dtype, shape=list(shape), data_offsets=[begin, end], **more)


def loaded(tmp_path, content):
    (tmp_path / 'weights.safetensors').write_bytes(content)
    return load_checkpoint(str(tmp_path / 'weights.safetensors'))


def test_tensors_are_those_that_were_written(tmp_path):
    tensors = {
        'conv.weight': torch.arange(24.).view(2, 3, 2, 2), 'norm.num_batches_tracked': torch.tensor(7),
        'half': torch.tensor([0.5, -2]).half(), 'empty': torch.zeros(0, 3), 'mask': torch.tensor([True, False])}
    names = dict(zip(tensors, ('F32', 'I64', 'F16', 'F32', 'BOOL')))
    header, data = {'__metadata__': {'format': 'pt'}}, b''
    for name, tensor in tensors.items():
        raw = tensor.numpy().tobytes()
        header[name] = entry(names[name], tensor.shape, len(data), len(data) + len(raw))
        data += raw
    found = loaded(tmp_path, file_of(header, data))
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)


def test_files_of_the_library_are_read(tmp_path):
    library = pytest.importorskip('safetensors.torch')
    tensors = {'b': torch.randn(3, 5).bfloat16(), 'a': torch.randn(2, 2, dtype=torch.float64), 'n': torch.tensor(3)}
    library.save_file(tensors, tmp_path / 'own.safetensors', metadata={'format': 'pt'})
    found = load_checkpoint(str(tmp_path / 'own.safetensors'))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(('header', 'data', 'reason'), [
    ({'a': entry()}, b'\0' * 7, 'is cut short'),
    ({'a': entry()}, b'\0' * 9, '1 bytes after the last tensor'),
    ({'a': entry(), 'b': entry()}, b'\0' * 8, 'overlap'),
    ({'a': entry(), 'b': entry(begin=12, end=20)}, b'\0' * 20, 'leave bytes out'),
    ({'a': entry(shape=(3,))}, b'\0' * 8, 'in 8 bytes'),
    ({'a': entry(shape=(2**40, 2**40))}, b'\0' * 8, 'in 8 bytes'),
    ({'a': entry(begin=8, end=0)}, b'\0' * 8, 'in -8 bytes'),
    ({'a': entry(shape=(-1, -2))}, b'\0' * 8, 'no valid shape'),
    ({'a': entry(shape=(True, 2))}, b'\0' * 8, 'no valid shape'),
    ({'a': entry(shape=(1.0, 2))}, b'\0' * 8, 'no valid shape'),
    ({'a': entry(shape=[1] * 65)}, b'\0' * 8, 'no valid shape'),
    ({'a': entry(extra=1)}, b'\0' * 8, 'lacks type, shape or place'),
    ({'a': [0, 8]}, b'\0' * 8, 'lacks type, shape or place'),
    ({'a': entry(dtype='F4')}, b'\0' * 8, "type 'F4'"),
    ({'a': entry(dtype=['F32'])}, b'\0' * 8, 'type'),
    (b'{"a": 1, "a": 2}', b'', 'two entries of one name'),
    (b'{"a": ', b'', 'cannot be built'),
    (b'{"\xff": 1}', b'', 'cannot be built'),
    (b'{"a":' + b'[' * 100_000, b'', 'cannot be built'),
])
def test_a_header_that_does_not_fit_is_refused(tmp_path, header, data, reason):
    with pytest.raises(CheckpointError, match=reason) as error:
        loaded(tmp_path, file_of(header, data))
    assert '\n' not in str(error.value)


def test_every_cut_is_noticed(tmp_path):
    whole = file_of({'a': entry(), 'b': entry('I32', (1, 1), 8, 12)}, bytes(range(12)))
    for length in range(len(whole)):
        with pytest.raises(CheckpointError):
            loaded(tmp_path, whole[:length])


def test_a_huge_header_is_not_read(tmp_path):
    with open(tmp_path / 'huge.safetensors', 'wb') as file:
        file.write((2**25).to_bytes(8, 'little') + b'{')
        file.truncate(2**25 + 8)
    with pytest.raises(CheckpointError, match='header of 33554432 bytes'):
        load_checkpoint(str(tmp_path / 'huge.safetensors'))
