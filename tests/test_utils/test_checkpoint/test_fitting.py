"""Weights fit their model, or are refused by name."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmreviewkd.utils import CheckpointError, checkpoint


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
    pytest.importorskip('mmpretrain')
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


def test_weights_of_a_distiller_and_of_its_student_are_told_apart():
    student = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    distiller = nn.ModuleDict(dict(student=student, connector=nn.Linear(2, 3)))
    with pytest.raises(CheckpointError, match='These are the weights of a distiller: export its student with'):
        checkpoint.check_fit(student, distiller.state_dict(), 'teacher.checkpoint')
    with pytest.raises(CheckpointError, match='These are the weights of the student alone: give them as init_cfg'):
        checkpoint.check_fit(distiller, student.state_dict(), 'load_from')
    with pytest.raises(CheckpointError) as error:
        checkpoint.check_fit(distiller, nn.Linear(2, 2).state_dict(), 'load_from')
    assert 'These are' not in str(error.value)
    with pytest.raises(CheckpointError, match='of another shape') as error:
        checkpoint.check_fit(nn.Linear(2, 2), nn.Linear(3, 2).state_dict(), 'teacher.checkpoint')
    assert 'These are' not in str(error.value)


@pytest.mark.parametrize(('content', 'message'), [
    ({}, r"holds no weights: .* but the keys \[\]"), (dict(state_dict={}), r'holds no weights'),
    (dict(epoch=1), r"holds no weights: .* but the keys \['epoch'\]"),
    ({0: torch.zeros(1)}, "does not name its weights by text, such as 'backbone.conv1.weight', but by 0"),
    (dict(state_dict={b'weight': torch.zeros(1)}), "but by b'weight'"),
    (dict(state_dict={None: torch.zeros(1), 'a': torch.zeros(1)}), 'but by None')])
def test_what_holds_no_named_weights_is_refused(content, message):
    with pytest.raises(CheckpointError, match=f'^load_from: .x.pth. .*{message}'):
        checkpoint.state_dict_of(content, "load_from: 'x.pth'")
