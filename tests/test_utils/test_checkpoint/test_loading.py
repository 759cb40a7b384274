"""What MMEngine's runner writes is read whole."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import MultiStepLR, OneCycleLR
from torch import nn

from mmreviewkd.utils.checkpoint import load_checkpoint


def _schedulers():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    return [OneCycleLR(optimizer, eta_max=1.0, total_steps=4), MultiStepLR(optimizer, milestones=[1, 2])]


@pytest.mark.parametrize('options', [{}, dict(_use_new_zipfile_serialization=False)], ids=['zip', 'legacy'])
def test_reads_what_mmengine_writes(options, tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    content = dict(
        meta=dict(epoch=3, seed=None, dataset_meta=dict(classes=('a', 'b'))),
        state_dict=OrderedDict(weight=torch.arange(3.0)),
        message_hub=dict(log_scalars=OrderedDict(loss=buffer), runtime_info=OrderedDict(lr=np.float64(0.1))),
        param_schedulers=[scheduler.state_dict() for scheduler in _schedulers()],
        optimizer=dict(state={0: dict(momentum_buffer=torch.ones(2))}))
    torch.save(content, tmp_path / 'whole.pth', **options)
    loaded = load_checkpoint(tmp_path / 'whole.pth')
    assert torch.equal(loaded['state_dict']['weight'], torch.arange(3.0))
    assert loaded['message_hub']['log_scalars']['loss'].mean() == 1.5
    assert loaded['message_hub']['runtime_info']['lr'] == 0.1
    assert loaded['meta'] == content['meta']
    assert loaded['param_schedulers'] == content['param_schedulers']


def test_versions_of_modules_are_kept(tmp_path):
    torch.save(dict(state_dict=nn.BatchNorm2d(2).state_dict()), tmp_path / 'file.pth')
    assert load_checkpoint(tmp_path / 'file.pth')['state_dict']._metadata == {'': dict(version=2)}


def test_values_of_plain_python_come_back(tmp_path):
    content = dict(
        numbers=[1, -2**70, 0.5, 1j, True, None], text='ü', data=b'\xff', empty=b'', array=bytearray(b'x'),
        sets=[{1, 2}, frozenset('a')], pair=(1, (2,)), keys={1: 'a', 2.5: 'b', None: 'c', b'd': 'd'},
        torch=[torch.float16, torch.Size([1]), torch.device('cpu')])
    torch.save(content, tmp_path / 'file.pth')
    assert load_checkpoint(tmp_path / 'file.pth') == content
