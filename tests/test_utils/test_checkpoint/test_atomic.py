"""Files are written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from mmreviewkd.utils import CheckpointError, checkpoint


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / 'folder' / 'file.txt'

    def fail(path):
        with open(path, 'w') as file:
            file.write('half')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    checkpoint.save_atomically(lambda path: Path(path).write_text('old'), target)
    with pytest.raises(CheckpointError, match=r'cannot write .*file\.txt.*MiB free'):
        checkpoint.save_atomically(fail, target)
    assert [p.name for p in target.parent.iterdir()] == ['file.txt']
    assert target.read_text() == 'old'


def test_a_file_has_the_permissions_that_the_user_gives_new_ones(tmp_path):
    before = os.umask(0o077)
    try:
        checkpoint.save_atomically(lambda path: Path(path).write_text('mine'), tmp_path / 'file.txt')
    finally:
        os.umask(before)
    assert (tmp_path / 'file.txt').stat().st_mode & 0o777 == 0o600
