"""Two parts of a data set that have no image in common and lack none."""

import pytest
from conftest import small_run
from mmengine.registry import init_default_scope

from mmreviewkd.engine.dataset_part import split
from mmreviewkd.registry import DATASETS
from mmreviewkd.utils import ConfigError


def test_parts_are_disjoint_whole_in_order_and_always_the_same():
    items = [f'image {i:03}' for i in range(200)]
    kept, held = split(items, 0.1)
    assert len(held) == 20 and sorted(kept + held) == items and held == sorted(held) and kept == sorted(kept)
    assert held != items[-20:] and split(items, 0.1) == (kept, held)


@pytest.mark.parametrize('share', [0.001, 1.0, 7.0])
def test_a_share_that_leaves_a_part_empty_is_named(share):
    with pytest.raises(ConfigError, match=rf'a share of {share:g} of 10 training images'):
        split(range(10), share)


def test_folds_of_a_part_have_its_images_only(fashion_mnist):
    init_default_scope('mmpretrain')
    data = small_run('resnet8.py', fashion_mnist).train_dataloader.dataset
    part = dict(type='mmreviewkd.DatasetPart', dataset=data, share=0.25, held_out=False)
    whole = DATASETS.build(part)
    folds = [DATASETS.build(dict(type='mmpretrain.KFoldDataset', dataset=part, fold=0, num_splits=3, test_mode=test))
             for test in (False, True)]
    assert len(folds[0]) + len(folds[1]) == len(whole)
    seen = sorted(i for fold in folds for i in fold.dataset.indices)
    assert seen == whole.indices
