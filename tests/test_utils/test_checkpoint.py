"""Checkpoints are read as data, by every route."""

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleLR
from mmengine.registry import MODELS
from torch import nn

from mmreviewkd.utils import CheckpointError, checkpoint


class Evil:
    def __reduce__(self):
        return os.mkdir, ('pwned',)


class GetattrEvil:
    """Asks the `getattr` that MMEngine's own checkpoints need for something else."""

    def __reduce__(self):
        return getattr, (nn.Linear, 'forward')


def _one_cycle():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    return OneCycleLR(optimizer, eta_max=1.0, total_steps=4)


@pytest.fixture(params=[True, False], ids=['torch >= 2.6', 'torch < 2.6'])
def route(request, monkeypatch):
    monkeypatch.setattr(checkpoint, '_TORCH_READS_DATA_ONLY', request.param)


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_reads_what_mmengine_writes(route):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    content = dict(
        meta=dict(epoch=3, seed=None, dataset_meta=dict(classes=('a', 'b'))),
        state_dict=OrderedDict(weight=torch.arange(3.0)),
        message_hub=dict(log_scalars=OrderedDict(loss=buffer), runtime_info=OrderedDict(lr=np.float64(0.1))),
        param_schedulers=[_one_cycle().state_dict()],
        optimizer=dict(state={0: dict(momentum_buffer=torch.ones(2))}))
    torch.save(content, 'whole.pth')
    loaded = checkpoint.load_checkpoint('whole.pth')
    assert torch.equal(loaded['state_dict']['weight'], torch.arange(3.0))
    assert loaded['message_hub']['log_scalars']['loss'].mean() == 1.5
    assert loaded['message_hub']['runtime_info']['lr'] == 0.1
    assert loaded['meta'] == content['meta']


@pytest.mark.parametrize(('content', 'asks_for'), [(Evil(), 'mkdir'), (GetattrEvil(), 'Linear|getattr')])
def test_runs_nothing(route, content, asks_for):
    torch.save(dict(state_dict=content), 'evil.pth')
    with pytest.raises(CheckpointError, match=f'holds more than data: it asks to load .*({asks_for})'):
        checkpoint.load_checkpoint('evil.pth')
    assert not os.path.exists('pwned')


def test_a_damaged_file_is_named(route):
    torch.save(dict(state_dict=dict(weight=torch.zeros(1000))), 'whole.pth')
    with open('whole.pth', 'rb') as file:
        content = file.read()
    for name, part in (('half.pth', content[:2000]), ('empty.pth', b''), ('text.pth', b'not a checkpoint')):
        with open(name, 'wb') as file:
            file.write(part)
        with pytest.raises(CheckpointError, match=rf"'{name}' \({len(part)} bytes\) is no whole checkpoint"):
            checkpoint.load_checkpoint(name)


def test_weights_are_found_in_every_layout():
    weights = dict(weight=torch.zeros(1))
    assert checkpoint.state_dict_of(weights) == weights
    assert checkpoint.state_dict_of(dict(model=weights, epoch=1)) == weights
    assert checkpoint.state_dict_of(dict(state_dict={'module.weight': weights['weight']})) == weights


def test_counters_of_batches_and_preprocessor_buffers_may_differ():
    model = nn.BatchNorm2d(2)
    state = {name: value for name, value in model.state_dict().items() if name != 'num_batches_tracked'}
    state['data_preprocessor.mean'] = torch.zeros(3)
    checkpoint.load_weights(model, state, 'file')


def swin_of_an_older_version():
    """A small Swin Transformer, and its weights by the names that the zoo's older files have."""
    model = MODELS.build(dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(
            type='SwinTransformer', img_size=32, arch=dict(embed_dims=4, depths=[1, 1], num_heads=[1, 1]),
            out_indices=(1,))))
    state = {name.replace('.norm1.', '.norm.') if name.startswith('backbone.norm1.') else name: torch.rand_like(value)
             if value.is_floating_point() else value for name, value in model.state_dict().items()}
    return model, dict(state, **{'backbone.stages.0.blocks.0.attn.attn_mask': torch.zeros(1)})


def test_weights_of_an_older_version_are_loaded_as_the_model_itself_would():
    model, state = swin_of_an_older_version()
    assert 'backbone.norm.weight' in state and 'backbone.norm1.weight' not in state
    checkpoint.load_weights(model, state, 'file')
    assert torch.equal(model.backbone.norm1.weight, state['backbone.norm.weight'])
    assert torch.equal(model.backbone.patch_embed.norm.bias, state['backbone.patch_embed.norm.bias'])


def test_weights_of_an_older_version_must_fit_all_the_same():
    for name, change in (
            ('backbone.norm.bias', None), ('backbone.norm.bias', torch.zeros(9)), ('backbone.extra', torch.zeros(1))):
        model, state = swin_of_an_older_version()
        state[name] = change
        with pytest.raises(CheckpointError, match=r'^file does not fit ImageClassifier: of \d+ entries'):
            checkpoint.load_weights(model, {key: value for key, value in state.items() if value is not None}, 'file')


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / 'folder' / 'file.txt'

    def fail(path):
        with open(path, 'w') as file:
            file.write('half')
        raise OSError('disk full')

    checkpoint.save_atomically(lambda path: Path(path).write_text('old'), target)
    with pytest.raises(OSError, match='disk full'):
        checkpoint.save_atomically(fail, target)
    assert [p.name for p in target.parent.iterdir()] == ['file.txt']
    assert target.read_text() == 'old'
