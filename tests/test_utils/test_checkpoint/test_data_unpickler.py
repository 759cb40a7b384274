"""Whatever a pickle asks for, nothing runs, and one message says why it is refused."""

import os
import pickle

import pytest
import torch
from hostile import HOSTILE, RUNNING
from mmengine.logging import HistoryBuffer
from pickles import call, checkpoint, name, tuple_of, value, write_archive, write_legacy
from torch import nn

from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint import load_checkpoint


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize('kind', RUNNING)
def test_python_itself_runs_it(kind):
    class Unpickler(pickle._Unpickler):
        def persistent_load(self, pid):
            return torch.storage.TypedStorage(4, dtype=torch.float32)

    with open('file', 'wb') as file:
        file.write(HOSTILE[kind])
    try:
        with open('file', 'rb') as file:
            Unpickler(file).load()
    except Exception:  # after the damage is done
        pass
    assert os.path.isdir('pwned')


@pytest.mark.parametrize('write', [write_archive, write_legacy])
@pytest.mark.parametrize('kind', HOSTILE)
def test_nothing_runs(kind, write, tmp_path):
    mean = HistoryBuffer.mean
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(str(write(tmp_path / 'evil.pth', HOSTILE[kind])))
    assert '\n' not in str(caught.value)
    assert str(caught.value).startswith(f"checkpoint: '{tmp_path}/evil.pth' (")
    assert not os.path.exists('pwned')
    assert HistoryBuffer.mean is mean


@pytest.mark.parametrize('kind', ['os.system', 'eval', 'a tensor of another class', 'from the memo'])
def test_what_it_asks_for_is_named(kind, tmp_path):
    asked = {'eval': 'builtins.eval', 'os.system': 'os.system'}.get(kind, 'os.mkdir')
    with pytest.raises(CheckpointError, match=rf"holds more than data: it asks to load '{asked}', which could run"):
        load_checkpoint(str(write_archive(tmp_path / 'evil.pth', HOSTILE[kind])))


class GetattrEvil:
    """Asks the `getattr` that MMEngine's own checkpoints need for something else."""

    def __reduce__(self):
        return getattr, (nn.Linear, 'forward')


def test_getattr_is_only_for_what_mmengine_writes():
    torch.save(dict(state_dict=GetattrEvil()), 'evil.pth')
    with pytest.raises(CheckpointError, match=r'holds more than data: it asks to load .*Linear'):
        load_checkpoint('evil.pth')


@pytest.mark.parametrize('protocol', [3, 4, 5])
def test_other_protocols_are_named(protocol):
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), 'new.pth', pickle_protocol=protocol)
    with pytest.raises(CheckpointError, match=f'is a checkpoint of pickle protocol {protocol}: format not supported'):
        load_checkpoint('new.pth')


@pytest.mark.slow
def test_a_deeply_nested_key_does_not_end_the_process(tmp_path):
    nested = b'}' + b')' + b'\x85' * 1_000_000 + value(1) + b's'
    with pytest.raises(CheckpointError, match='a tuple as the key of a dict'):
        load_checkpoint(str(write_archive(tmp_path / 'deep.pth', checkpoint(nested))))


def test_a_value_may_only_name_what_is_allowed(tmp_path):
    path = write_archive(tmp_path / 'named.pth', checkpoint(tuple_of(name('torch.float16'), call('torch.Size'))))
    assert load_checkpoint(str(path))['state_dict'] == (torch.float16, torch.Size())
