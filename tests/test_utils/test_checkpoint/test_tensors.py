"""Tensors lie within storages that the file has."""

import pytest
import torch
from pickles import call, checkpoint, name, storage, tensor, tuple_of, value, write_archive, write_legacy
from torch import nn

from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.checkpoint import load_checkpoint

CRAFTED = {
    'a huge size': tensor(size=(10**12,)),
    'a huge size by its strides': tensor(size=(10**6, 10**6), stride=(0, 0)),
    'sizes that overflow': tensor(size=(2**62, 4), stride=(1, 0)),
    'strides that overflow': tensor(size=(2, 2), stride=(2**63 - 1, 2**63 - 1)),
    'a negative size': tensor(size=(-4,)),
    'a negative stride': tensor(stride=(-1,)),
    'an offset past the end': tensor(offset=1),
    'a negative offset': tensor(offset=-4),
    'a huge offset': tensor(offset=2**63),
    'an offset that is text': tensor(offset='0'),
    'more sizes than strides': tensor(size=(2, 2)),
    'a hundred sizes': tensor(size=(1,) * 100, stride=(1,) * 100),
    'sizes of floats': tensor(size=(4.0,)),
    'no storage': tensor(where=value('0')),
    'a tensor in place of a storage': tensor(where=tensor()),
    'a storage of more elements': tensor(where=storage(count=5)),
    'a storage of 100 TB': tensor(where=storage(count=10**14)),
    'a storage of negative size': tensor(where=storage(count=-4)),
    'a storage of a wider type': tensor(where=storage(kind='torch.DoubleStorage')),
    'a storage that is not there': tensor(where=storage(key='7')),
    'a storage in another folder': tensor(where=storage(key='../data.pkl')),
    'a storage of a type that is text': tensor(where=tuple_of(*map(value, ('storage', 'x', '0', 'cpu', 4))) + b'Q'),
    'a storage of a function': tensor(where=storage(kind='torch._utils._rebuild_tensor_v2')),
    'a short reference': tensor(where=tuple_of(value('storage')) + b'Q'),
    'a reference that is text': tensor(where=value('storage') + b'Q'),
    'gradients of integers': call(
        'torch._utils._rebuild_tensor_v2', storage(kind='torch.IntStorage'), value(0), value((4,)), value((1,)),
        value(True), value({})),
    'a dtype that is text': call(
        'torch._utils._rebuild_tensor_v3', storage(kind='torch.storage.UntypedStorage', count=16), value(0),
        value((4,)), value((1,)), value(False), value({}), value('float32')),
    'a dtype that is quantized': call(
        'torch._utils._rebuild_tensor_v3', storage(kind='torch.storage.UntypedStorage', count=16), value(0),
        value((4,)), value((1,)), value(False), value({}), name('torch.qint8')),
    'a wider dtype': call(
        'torch._utils._rebuild_tensor_v3', storage(kind='torch.storage.UntypedStorage', count=16), value(0),
        value((4,)), value((1,)), value(False), value({}), name('torch.float64')),
    'a state of a tensor': tensor() + value((1, 2)) + b'b',
    'numbers set in a tensor': tensor() + value(0) + value(1) + b's',
}


@pytest.mark.parametrize('kind', CRAFTED)
def test_crafted_tensors_are_refused(kind, tmp_path):
    path = write_archive(tmp_path / 'crafted.pth', checkpoint(CRAFTED[kind]))
    with pytest.raises(CheckpointError, match=r'holds (invalid data|more than data)'):
        load_checkpoint(str(path))


@pytest.mark.parametrize('kind', [kind for kind in CRAFTED if 'storage' not in kind and 'dtype' not in kind])
def test_crafted_tensors_of_the_old_format_are_refused(kind, tmp_path):
    content = CRAFTED[kind].replace(storage(), storage(legacy=True))
    with pytest.raises(CheckpointError, match=r'holds (invalid data|more than data)'):
        load_checkpoint(str(write_legacy(tmp_path / 'crafted.pth', checkpoint(content))))


@pytest.mark.parametrize('options', [{}, dict(_use_new_zipfile_serialization=False)], ids=['zip', 'legacy'])
def test_tensors_come_back(options, tmp_path):
    base = torch.arange(12.0).view(3, 4)
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
             torch.uint8, torch.bool, torch.complex64]
    content = dict(
        base=base, view=base.t()[1:, ::2], expanded=torch.ones(1).expand(3, 5), empty=torch.zeros(0, 3),
        single=torch.tensor(3), parameter=nn.Parameter(torch.ones(2)), last=torch.ones(2, 2, 2, 2).to(
            memory_format=torch.channels_last), **{str(kind): torch.tensor([0, 1, 1]).to(kind) for kind in kinds})
    torch.save(content, tmp_path / 'tensors.pth', **options)
    found = load_checkpoint(str(tmp_path / 'tensors.pth'))
    for key, expected in content.items():
        assert type(found[key]) is type(expected) and found[key].dtype == expected.dtype, key
        assert found[key].stride() == expected.stride() and torch.equal(found[key], expected), key
    found['base'][0, 1] = -1
    assert found['view'][0, 0] == -1
    assert found['parameter'].requires_grad


def test_attributes_of_a_parameter_are_left_behind(tmp_path):
    parameter = nn.Parameter(torch.ones(2))
    parameter.note = 'mine'
    torch.save(dict(weight=parameter), tmp_path / 'parameter.pth')
    found = load_checkpoint(str(tmp_path / 'parameter.pth'))['weight']
    assert torch.equal(found, parameter) and not hasattr(found, 'note')


def test_tensors_go_where_they_are_told_to(tmp_path):
    torch.save(dict(weight=torch.ones(2)), tmp_path / 'file.pth')
    for device in ('cpu', torch.device('cpu'), None, lambda storage, location: storage, {'cpu': 'cpu'}):
        assert load_checkpoint(str(tmp_path / 'file.pth'), device)['weight'].tolist() == [1, 1]
    assert load_checkpoint(str(tmp_path / 'file.pth'), 'meta')['weight'].is_meta
