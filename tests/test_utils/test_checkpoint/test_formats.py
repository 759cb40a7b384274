"""Damage is noticed, and other formats are named."""

import io
import os
import pickle
import random
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from pickles import checkpoint, tensor, value, write_archive
from torch import nn

from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint import load_checkpoint


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(name: str, content: bytes) -> str:
    with open(name, 'wb') as file:
        file.write(content)
    return name


class Script(nn.Module):
    """Writes a file as soon as it is loaded."""

    def forward(self, x):
        return x

    @torch.jit.export
    def __getstate__(self):
        return self.training

    @torch.jit.export
    def __setstate__(self, state: bool):
        self.training = state and bool(torch.from_file('pwned', True, 1).sum() == 0)


def torchscript() -> str:
    torch.jit.script(Script()).save('script.pth')
    return 'script.pth'


def tar() -> str:
    with tarfile.open('tar.pth', 'w') as archive:
        archive.addfile(tarfile.TarInfo('storages'), io.BytesIO())
    return 'tar.pth'


def numpy_file() -> str:
    np.savez('file.npz', a=np.zeros(2))
    return 'file.npz'


OTHERS = {
    'a TorchScript archive': torchscript,
    'a tar archive': tar,
    'a zip archive that torch.save did not write': numpy_file,
    'a pickle that torch.save did not write': lambda: written('model.pkl', pickle.dumps(dict(weight=1), 2)),
    'a gzip file': lambda: written('file.gz', b'\x1f\x8b\x08\x00'),
    'a web page': lambda: written('page.pth', b'<!DOCTYPE html>'),
    'a pointer of Git LFS': lambda: written('lfs.pth', b'version https://git-lfs.github.com/spec/v1\n'),
    'a checkpoint of pickle protocol 4': lambda: written('new.pth', pickle.dumps(dict(weight=1), 4)),
    'a compressed zip archive': lambda: str(
        write_archive('zipped.pth', checkpoint(tensor()), compression=zipfile.ZIP_DEFLATED)),
}


@pytest.mark.parametrize('kind', OTHERS)
def test_other_formats_are_named(kind):
    with pytest.raises(CheckpointError, match=f'is {kind}.*: format not supported'):
        load_checkpoint(OTHERS[kind]())


def test_torchscript_is_refused_before_it_runs():
    path = torchscript()
    with pytest.raises(CheckpointError, match='is a TorchScript archive, which is a program: format not supported'):
        load_checkpoint(path)
    assert not os.path.exists('pwned')
    torch.jit.load(path)
    assert os.path.exists('pwned')


def test_a_damaged_file_is_named():
    torch.save(dict(state_dict=dict(weight=torch.zeros(1000))), 'whole.pth')
    with open('whole.pth', 'rb') as file:
        content = file.read()
    for name, part in (('half.pth', content[:2000]), ('empty.pth', b''), ('text.pth', b'not a checkpoint')):
        with pytest.raises(CheckpointError, match=rf"'{name}' \({len(part)} bytes\) is no whole checkpoint"):
            load_checkpoint(written(name, part))


@pytest.mark.parametrize('options', [{}, dict(_use_new_zipfile_serialization=False)], ids=['zip', 'legacy'])
def test_a_file_cut_anywhere_is_refused(options):
    torch.save(dict(state_dict=nn.Linear(3, 3).state_dict()), 'whole.pth', **options)
    with open('whole.pth', 'rb') as file:
        content = file.read()
    for length in range(0, len(content), 37):
        with pytest.raises(CheckpointError):
            load_checkpoint(written('cut.pth', content[:length]))


def test_a_flipped_bit_is_noticed_or_harmless():
    state = nn.Linear(20, 20).state_dict()
    torch.save(dict(state_dict=state), 'whole.pth')
    with open('whole.pth', 'rb') as file:
        content = file.read()
    start = content.index(state['weight'].numpy().tobytes())
    choose = random.Random(0)
    places = [*range(start, start + 1600, 160), *choose.sample(range(len(content)), 300)]
    noticed = 0
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << choose.randrange(8)
        try:
            found = load_checkpoint(written('flipped.pth', flipped))['state_dict']
        except CheckpointError:
            noticed += 1
        else:
            assert all(torch.equal(found[name], state[name]) for name in state)
            assert not start <= place < start + 1600
    assert noticed >= 10


def test_unusual_contents_are_named(tmp_path):
    for content, message in ((value([1]), 'holds no dict but a list'), (value(3), 'holds no dict but a int')):
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(str(write_archive(tmp_path / 'odd.pth', b'\x80\x02' + content + b'.')))
