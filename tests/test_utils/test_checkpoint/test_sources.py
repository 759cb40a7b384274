"""Where a checkpoint may come from."""

import sys
import types

import pytest
import torch
from mmengine.fileio import BaseStorageBackend, register_backend

from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint import load_checkpoint


def test_what_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"^load_from: there is no file 'absent.pth' \(seen from"):
        load_checkpoint('absent.pth', where='load_from')
    with pytest.raises(CheckpointError, match=f"there is no file '{tmp_path}'"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(('source', 'message'), [
    ('torchvision://resnet81', "is in no list of MMEngine; did you mean 'resnet18'"),
    ('open-mmlab://nothing', 'is in no list of MMEngine'), ('mmcls://nothing', 'is in no list of MMEngine'),
    ('pavi://nothing', 'needs the package pavi'), ('s3://bucket/a.pth', "cannot be read by MMEngine's file backends"),
    ('petrel://a.pth', "cannot be read by MMEngine's file backends"),
    ('cluster:s3://bucket/a.pth', "cannot be read by MMEngine's file backends"),
    ('modelscope://a', 'get the file and give its path'), ('ftp://host/a.pth', 'get the file and give its path')])
def test_addresses_without_a_file_backend_are_one_clear_error(source, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(source)
    assert '\n' not in str(caught.value)


def test_a_file_backend_gives_bytes(tmp_path):
    torch.save(dict(weight=torch.ones(2)), tmp_path / 'file.pth')

    class Backend(BaseStorageBackend):
        def get(self, filepath):
            return memoryview((tmp_path / filepath.partition('://')[2]).read_bytes())

        def get_text(self, filepath):
            raise NotImplementedError

    register_backend('shelf', Backend, force=True, prefixes='shelf')
    assert load_checkpoint('shelf://file.pth')['weight'].tolist() == [1, 1]


def test_pavi_downloads_to_a_folder_of_its_own(tmp_path, monkeypatch):
    class Model:
        name = '../../escape.pth'

        def download(self, path):
            torch.save(dict(weight=torch.ones(2)), path)

    monkeypatch.setitem(sys.modules, 'pavi', types.SimpleNamespace(modelcloud=types.SimpleNamespace(
        get=lambda path: Model())))
    assert load_checkpoint('pavi://model')['weight'].tolist() == [1, 1]
