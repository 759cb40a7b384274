"""Which checkpoint a run resumes from when files are damaged or missing."""

import os
import shutil

import pytest
import torch

from mmreviewkd.engine.newest_checkpoint import newest_checkpoint
from mmreviewkd.engine.run_state import KEY
from mmreviewkd.utils.errors import CheckpointError


@pytest.fixture
def work_dir(tmp_path):
    """Three checkpoints, the third the newest, and one that cannot be resumed from."""
    for epoch in (1, 2, 3):
        path = tmp_path / f'epoch_{epoch}.pth'
        torch.save(dict(meta=dict(epoch=epoch, seed=7), state_dict={}, optimizer={}), path)
        os.utime(path, (epoch, epoch))
    torch.save(dict(meta=dict(epoch=3), state_dict={}), tmp_path / 'best_accuracy_epoch_3.pth')
    (tmp_path / '.epoch_4.pth.abcd1234.pth').write_bytes(b'partial')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_3.pth'))
    return tmp_path


def chosen(work_dir, out_dir=None):
    said = []
    _, meta = newest_checkpoint(str(work_dir), said.append, out_dir)
    return meta['epoch'], ' '.join(said)


def test_the_named_one_without_a_word(work_dir):
    assert chosen(work_dir) == (3, '')


@pytest.mark.parametrize('note', ['', '\0\0\0\n', '/absent/epoch_9.pth'])
def test_the_newest_if_last_checkpoint_names_none(work_dir, note):
    (work_dir / 'last_checkpoint').write_text(note)
    epoch, said = chosen(work_dir)
    assert epoch == 3 and str(work_dir / 'epoch_3.pth') in said
    assert 'is empty' in said if '/' not in note else 'does not exist' in said


def test_a_damaged_one_is_passed_over_and_named(work_dir):
    (work_dir / 'epoch_3.pth').write_bytes((work_dir / 'epoch_3.pth').read_bytes()[:300])
    epoch, said = chosen(work_dir)
    assert epoch == 2 and 'epoch_3.pth is passed over' in said and 'epoch_2.pth' in said


def test_none_complete_is_an_error_and_none_at_all_is_not(work_dir, tmp_path_factory):
    for path in work_dir.glob('epoch_*.pth'):
        path.write_bytes(b'')
    with pytest.raises(CheckpointError, match=r'no checkpoint in .* is complete'):
        chosen(work_dir)
    assert newest_checkpoint(str(tmp_path_factory.mktemp('fresh')), print) is None


def test_what_is_no_checkpoint_of_a_run_is_passed_over(work_dir):
    torch.save(dict(meta=5, state_dict={}), work_dir / 'epoch_3.pth')
    assert chosen(work_dir)[0] == 2


def test_checkpoints_in_the_folder_of_out_dir_are_found(work_dir, tmp_path_factory):
    other = tmp_path_factory.mktemp('other') / work_dir.name
    other.mkdir()
    (work_dir / 'last_checkpoint').write_text('')
    for path in work_dir.glob('epoch_*.pth'):
        path.rename(other / path.name)
    assert newest_checkpoint(str(work_dir), print) is None
    assert chosen(work_dir, str(other.parent))[0] == 3
    (work_dir / 'last_checkpoint').write_text(str(other / 'epoch_2.pth'))
    assert chosen(work_dir, str(other.parent)) == (2, '')


def test_the_best_is_taken_if_there_is_no_other_and_it_has_all_the_state(work_dir):
    best = dict(meta=dict(epoch=5), state_dict={})
    torch.save(best, work_dir / 'best_accuracy_epoch_5.pth')
    (work_dir / 'last_checkpoint').unlink()
    assert chosen(work_dir)[0] == 3
    for path in work_dir.glob('epoch_*.pth'):
        path.unlink()
    assert newest_checkpoint(str(work_dir), print) is None
    torch.save({**best, KEY: {}}, work_dir / 'best_accuracy_epoch_5.pth')
    assert chosen(work_dir)[0] == 5


def test_a_copied_work_dir_resumes_from_its_own_files(work_dir, tmp_path_factory):
    copy = tmp_path_factory.mktemp('copies') / 'copy'
    shutil.copytree(work_dir, copy)
    said = []
    assert newest_checkpoint(str(copy), said.append)[0] == str(copy / 'epoch_3.pth') and not said
    for path in copy.glob('epoch_*.pth'):
        path.unlink()
    assert newest_checkpoint(str(copy), said.append)[0] == str(work_dir / 'epoch_3.pth')
    assert len(said) == 1 and 'lies in another folder' in said[0]


def test_a_name_that_no_file_can_have_names_none(work_dir):
    (work_dir / 'last_checkpoint').write_text(500 * 'x')
    assert chosen(work_dir)[0] == 3
