"""The directory of a zip archive is checked before its entries are read, and a storage is read once."""

import os
import resource
import zipfile
from pathlib import Path

import pytest
from pickles import checkpoint, storage, tensor, tuple_of, write_archive

from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint import load_checkpoint
from mmreviewkd.utils.checkpoint.zip_archive import as_storage


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(name: str, content: bytes) -> str:
    Path(name).write_bytes(content)
    return name


def test_a_bomb_is_refused_before_it_is_read():
    with zipfile.ZipFile('bomb.pth', 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr('archive/data.pkl', checkpoint(tensor(where=storage(count=2**26))))
        with archive.open('archive/data/0', 'w') as entry:
            for _ in range(16):
                entry.write(bytes(2**24))
    assert os.path.getsize('bomb.pth') < 2**21
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match='a compressed zip archive: format not supported'):
        load_checkpoint('bomb.pth')
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB


def test_entries_that_overlap_are_refused():
    """Many entries of the table that are the same bytes: each is in the file, their sum is not."""
    write_archive('whole.pth', checkpoint(tensor()), {'0': bytes(2**12)})
    with open('whole.pth', 'rb') as file:
        content = file.read()
    table = content.index(b'PK\x01\x02')
    end = content.index(b'PK\x05\x06')
    entries = content[table:end]
    repeated = b''.join(entries.replace(b'archive/data/0', f'archive/data/{digit}'.encode()) for digit in range(1, 10))
    size = len(entries) + len(repeated)
    trailer = bytearray(content[end:])
    count = 4 + 4 * 9
    trailer[8:10] = trailer[10:12] = count.to_bytes(2, 'little')
    trailer[12:16] = size.to_bytes(4, 'little')
    with pytest.raises(CheckpointError, match=r'claim .* bytes in a file of|two entries of one name'):
        load_checkpoint(written('overlap.pth', content[:end] + repeated + trailer))


def test_an_entry_that_claims_more_than_the_file_is_refused():
    write_archive('whole.pth', checkpoint(tensor()))
    with open('whole.pth', 'rb') as file:
        content = bytearray(file.read())
    place = content.index(b'archive/data/0', content.index(b'PK\x01\x02')) - 46
    for at in (20, 24):
        content[place + at:place + at + 4] = (2**31).to_bytes(4, 'little')
    with pytest.raises(CheckpointError, match='entries claim 2147483'):
        load_checkpoint(written('claims.pth', content))


def test_two_entries_of_one_name_are_refused():
    write_archive('whole.pth', checkpoint(tensor()))
    with zipfile.ZipFile('whole.pth', 'a') as archive, pytest.warns(UserWarning, match='Duplicate'):
        archive.writestr('archive/data/0', bytes(16))
    with pytest.raises(CheckpointError, match='two entries of one name'):
        load_checkpoint('whole.pth')


@pytest.mark.parametrize('stored', [{}, {'0': bytes(12)}], ids=['absent', 'too short'])
def test_a_storage_larger_than_its_entry_is_refused(stored):
    path = write_archive('short.pth', checkpoint(tensor()), stored)
    size = len(stored.get('0', b''))
    with pytest.raises(CheckpointError, match=f'a storage of 16 bytes, where the archive has {size}'):
        load_checkpoint(path)


def test_a_big_endian_archive_is_refused():
    write_archive('little.pth', checkpoint(tensor()))
    with zipfile.ZipFile('little.pth') as little, zipfile.ZipFile('big.pth', 'w') as big:
        for entry in little.namelist():
            big.writestr(entry, b'big' if entry.endswith('byteorder') else little.read(entry))
    with pytest.raises(CheckpointError, match='a checkpoint of a big-endian machine: format not supported'):
        load_checkpoint('big.pth')


def test_views_of_one_storage_share_memory():
    views = tuple_of(tensor(size=(2,)), tensor(offset=1, size=(3,)))
    first, second = load_checkpoint(write_archive('views.pth', checkpoint(views)))['state_dict']
    first[1] = 5
    assert second[0] == 5


def test_bytes_become_a_storage_without_a_copy():
    data = bytearray(b'abcd')
    memory = as_storage(data)
    data[1] = 0
    assert memory.tolist() == [97, 0, 99, 100] and as_storage(bytearray()).nbytes() == 0
