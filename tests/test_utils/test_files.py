"""Disks that are full."""

import contextlib
import functools
import resource
import signal
from pathlib import Path

import pytest
import torch

from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.errors import CheckpointError
from mmreviewkd.utils.files import full_disk_named, remove_partial_files


@contextlib.contextmanager
def largest_file(size):
    """No file of this process may grow beyond a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize('write', [
    functools.partial(torch.save, dict(weights=torch.zeros(100_000))),
    lambda path: Path(path).write_bytes(bytes(400_000))], ids=['by torch', 'by Python'])
def test_a_full_disk_is_one_message_and_leaves_the_earlier_file(tmp_path, write):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(b'earlier')
    with largest_file(50_000), pytest.raises(CheckpointError, match=r"cannot write '.*epoch_1.pth': .* MiB free"):
        save_atomically(write, path)
    assert path.read_bytes() == b'earlier'
    assert [file.name for file in tmp_path.iterdir()] == ['epoch_1.pth']


def test_partial_files_of_a_killed_run_are_removed(tmp_path):
    for name in ('.epoch_1.pth.ab12cd_4.pth', 'epoch_1.pth', '.lock', '.hidden.pth'):
        (tmp_path / name).touch()
    remove_partial_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.hidden.pth', '.lock', 'epoch_1.pth']


def test_a_folder_whose_disk_is_full_is_named_and_other_errors_pass(tmp_path):
    with largest_file(1000), pytest.raises(CheckpointError, match=rf"^cannot write '{tmp_path}': .* MiB free there"), \
            full_disk_named(str(tmp_path)), open(tmp_path / 'log', 'w') as log:
        log.write('x' * 2000)
    with pytest.raises(FileNotFoundError), full_disk_named(str(tmp_path)):
        (tmp_path / 'absent').read_text()
