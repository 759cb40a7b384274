"""The tap of a classifier's logits."""

import pytest
from torch import nn

from mmreviewkd.models.build import build_model
from mmreviewkd.models.taps.logits import classifier_logits

CLASSIFIER = dict(type='mmpretrain.ImageClassifier', backbone=dict(type='mmpretrain.LeNet5'))
HEADS = [
    (dict(type='mmpretrain.LinearClsHead', num_classes=7, in_channels=120), ('head.fc', 7)),
    (dict(type='mmpretrain.VisionTransformerClsHead', num_classes=7, in_channels=120, hidden_dim=8),
     ('head.layers.head', 7)),
    (dict(type='mmpretrain.StackedLinearClsHead', num_classes=7, in_channels=120, mid_channels=[8]),
     ('head.layers[-1].fc', 7)),
    # Two layers of as many outputs, one of which is averaged away.
    (dict(type='mmpretrain.DeiTClsHead', num_classes=7, in_channels=120), None),
    # Images of several classes each.
    (dict(type='mmpretrain.MultiLabelLinearClsHead', num_classes=7, in_channels=120), None),
]


@pytest.mark.parametrize(('head', 'expected'), HEADS, ids=[head['type'].partition('.')[2] for head, _ in HEADS])
def test_the_layer_of_the_classes_is_found(head, expected):
    pytest.importorskip('mmpretrain')
    assert classifier_logits(build_model(dict(CLASSIFIER, head=head), 'model')) == expected


def test_a_module_without_such_a_head_has_none():
    assert classifier_logits(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))) is None
