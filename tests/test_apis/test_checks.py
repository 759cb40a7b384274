"""Checks of a whole config before anything is built."""

import pytest
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler

from mmreviewkd.apis.checks import check_kinds
from mmreviewkd.utils import ConfigError

DATA = dict(type='FashionMNIST')


@pytest.mark.parametrize('kind', ['InfiniteSampler', 'mmengine.InfiniteSampler', InfiniteSampler, 'MultiSourceSampler'])
@pytest.mark.parametrize('loop', [dict(by_epoch=True), dict(type='EpochBasedTrainLoop')])
def test_an_epoch_without_end_is_refused(kind, loop):
    loader = dict(dataset=DATA, sampler=dict(type=kind))
    with pytest.raises(ConfigError, match=r'train_dataloader\.sampler: an epoch of \w+Sampler never ends'):
        check_kinds(Config(dict(train_dataloader=loader, train_cfg=dict(loop, max_epochs=2))))
    check_kinds(Config(dict(
        train_dataloader=dict(loader, num_batch_per_epoch=4), train_cfg=dict(loop, max_epochs=2))))
    for other in dict(by_epoch=False, max_iters=2), dict(type='IterBasedTrainLoop', max_iters=2):
        check_kinds(Config(dict(train_dataloader=loader, train_cfg=other)))
