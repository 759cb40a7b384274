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
