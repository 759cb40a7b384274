"""The distiller of plain PyTorch equals the one of MMEngine's runner, step for step."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from plain import LAYERS, Small, batches, step
from torch.utils.data import DataLoader

from mmreviewkd import distiller
from mmreviewkd.registry import MODELS

STEPS = 6


@MODELS.register_module()
class SmallClassifier(BaseModel):
    """A plain network as a model of MMEngine."""

    def __init__(self, width, seed):
        super().__init__()
        self.net = Small(width, seed)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        logits = self.net(inputs)
        return dict(loss=F.cross_entropy(logits, data_samples)) if mode == 'loss' else logits


class KeepLosses(Hook):
    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append((outputs['loss_student'].item(), outputs['loss_distill'].item()))


@pytest.mark.slow
def test_losses_and_weights_are_those_of_the_mmengine_route(tmp_path):
    data = [pair for images, labels in batches(STEPS) for pair in zip(images, labels)]
    loader = DataLoader(data, batch_size=8)
    taps = [f'net.{tap}' for tap in LAYERS]
    with DefaultScope.overwrite_default_scope('mmengine'):
        theirs = MODELS.build(dict(
            type='mmreviewkd.ReviewDistiller', warmup_iters=4,
            student=dict(model=dict(type='mmreviewkd.SmallClassifier', width=4, seed=0), taps=taps),
            teacher=dict(model=dict(type='mmreviewkd.SmallClassifier', width=8, seed=1), taps=taps,
                         checkpoint='init_cfg'),
            distill_loss=dict(type='HierarchicalContextLoss', loss_weight=2.0)))
    ours = distiller(
        copy.deepcopy(theirs.student.net), Small(8, 1), taps=LAYERS, loss_weight=2.0, warmup_iters=4)
    ours.connector.load_state_dict(theirs.connector.state_dict())

    optimizer = torch.optim.SGD(ours.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    found = [step(ours.train(), optimizer, images, labels) for images, labels in loader]

    kept = KeepLosses()
    Runner(
        theirs, str(tmp_path), train_dataloader=loader, train_cfg=dict(by_epoch=False, max_iters=STEPS),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4)),
        custom_hooks=[kept], default_hooks=dict(checkpoint=None), default_scope='mmengine',
        experiment_name='plain').train()

    assert found == kept.losses and found[0][1] == 0 < found[1][1]
    expected = {name.replace('student.net.', 'student.'): value for name, value in theirs.state_dict().items()}
    state = ours.state_dict()
    assert state.pop('iterations') == STEPS
    assert state.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in state.items())
