"""The storages of the older format must agree with the pickle that refers to them, and fit into the file."""

import io
import pickle

import pytest
import torch
from pickles import checkpoint, storage, tensor, tuple_of, write_legacy

from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint import load_checkpoint
from mmreviewkd.utils.checkpoint.legacy_file import read_legacy_file


@pytest.mark.parametrize(('count', 'stored'), [(10**12, 10**12), (4, 10**12), (4, -4), (10**12, 4)])
def test_an_old_file_that_claims_more_than_it_has_is_refused(count, stored, tmp_path):
    content = checkpoint(tensor(where=storage(count=count, legacy=True)))
    with pytest.raises(CheckpointError, match='holds invalid data'):
        load_checkpoint(str(write_legacy(tmp_path / 'old.pth', content, {'0': (stored, bytes(16))})))


def old_tensor(count: int = 4, **options) -> bytes:
    return tensor(where=storage(count=count, legacy=True), **options)


@pytest.mark.parametrize(('content', 'storages', 'message'), [
    (tuple_of(old_tensor(), old_tensor(3, size=(3,))), None, 'two sizes of one storage'),
    (old_tensor(), {}, 'a list of storages that does not match them'),
    (old_tensor(), {'0': (4, bytes(16)), '1': (4, bytes(16))}, 'a list of storages that does not match them'),
    (old_tensor(), {'0': (4, bytes(15))}, 'perhaps cut short: bytes of tensors are missing'),
])
def test_storages_that_contradict_the_pickle_are_refused(content, storages, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(write_legacy(tmp_path / 'old.pth', checkpoint(content), storages))


@pytest.mark.parametrize('part', [(1001, 1000), (dict(little_endian=True), dict(little_endian=False))])
def test_another_version_or_byte_order_is_refused(part, tmp_path):
    parts = [pickle.dumps(found, 2) for found in (0x1950a86a20f9469cfc6c, 1001, dict(little_endian=True))]
    content = b''.join(parts).replace(*(pickle.dumps(found, 2) for found in part))
    (tmp_path / 'other.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match='a checkpoint of another version or byte order: format not supported'):
        load_checkpoint(tmp_path / 'other.pth')


def test_a_shared_storage_is_placed_once_by_its_own_device():
    weight = torch.arange(4.)
    file, placed = io.BytesIO(), []
    torch.save([weight[:2], weight[1:], torch.ones(1)], file, _use_new_zipfile_serialization=False)
    file.seek(0)
    first, second, _ = read_legacy_file(
        file, len(file.getvalue()), lambda memory, device: placed.append((memory.nbytes(), device)) or memory)
    assert placed == [(16, 'cpu'), (4, 'cpu')]
    first[1] = 5
    assert second.tolist() == [5, 2, 3]
