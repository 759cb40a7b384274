"""Every pair of the benchmark is a distillation of the package, on batches that fit it."""

import pytest
import torch
from conftest import small_run
from mmengine.registry import init_default_scope

from mmreviewkd.registry import MODELS
from mmreviewkd.studies.benchmark.cases import PAIRS, PYRAMIDS, pair_of_config
from mmreviewkd.utils.config import model_config


@pytest.mark.parametrize('name', PAIRS)
def test_a_pair_and_its_batch(name):
    pair = PAIRS[name]
    pytest.importorskip(f'{pair.scope}.structures')
    if pair.scope == 'mmdet':
        pytest.importorskip('mmcv.ops')
    init_default_scope(pair.scope)
    inputs, samples = pair.batch(torch.device('cpu'))
    assert len(inputs) == len(samples)
    config = pair.distiller()
    assert config['type'] == 'mmreviewkd.ReviewDistiller' and config['teacher']['checkpoint'] == 'init_cfg'
    assert "'Pretrained'" not in repr(config)
    for part in ('student', 'teacher'):
        backbone = MODELS.build(model_config(config[part]['model'], part).backbone)
        assert backbone.conv1.in_channels == inputs.shape[1]


def test_pyramids_are_fine_to_coarse():
    for sizes in PYRAMIDS.values():
        assert sizes == sorted(sizes, reverse=True) and len(sizes) == 5


def test_a_config_is_measured_on_its_own_data(fashion_mnist, tmp_path):
    path = tmp_path / 'review.py'
    small_run('resnet8_review-resnet14.py', fashion_mnist, **{'train_dataloader.batch_size': 6}).dump(path)
    pair = pair_of_config(str(path))
    assert pair.scope == 'mmpretrain'
    inputs, samples = pair.batch(torch.device('cpu'))
    assert inputs.shape == (6, 1, 28, 28) and len(samples) == 6
    # Normalized by the config's preprocessor: garments are bright, the background is dark.
    assert -0.9 < inputs.min() < -0.7 and inputs.max() > 1
