"""One training step is measured as it would be in training, and changes nothing."""

import copy

import pytest
import torch
from conftest import small_run

from mmreviewkd.apis.dry_step import DryStep, dry_step
from mmreviewkd.utils import ConfigError


@pytest.fixture
def cfg(fashion_mnist):
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist)
    cfg.train_dataloader.batch_size = 4
    return cfg


def test_the_report_has_ratios_and_readable_units():
    step = DryStep(
        losses=dict(loss_student=2., loss_distill=0.5), own_gradient=0., distill_gradient=1.5, seconds=3.,
        seconds_alone=2., bytes_kept=3 * 2**20, bytes_kept_alone=2**20, image=(4, 3, 32, 32), iterations=7200)
    text = '\n'.join(step.lines())
    assert '4 x 3 x 32 x 32' in text and 'loss_student 2, loss_distill 0.5' in text
    assert 'distillation 1.5 (infinitely many times)' in text
    assert '3.00 s; the student alone 2.00 s (1.50 times)' in text
    assert '3.0 MiB; by the student alone 1.0 MiB (3.00 times)' in text
    assert '7200 iterations, about 6.0 hours' in text


def test_the_gradient_of_the_distillation_is_told_from_the_students_own(cfg):
    weight = cfg.model.distill_loss.get('loss_weight', 1.0)
    torch.manual_seed(0)
    step = dry_step(cfg)
    cfg.model.distill_loss.loss_weight = 2 * weight
    doubled = dry_step(cfg)
    assert step.own_gradient > 0 and doubled.own_gradient == pytest.approx(step.own_gradient, rel=1e-5)
    assert doubled.distill_gradient == pytest.approx(2 * step.distill_gradient, rel=1e-4)
    assert step.bytes_kept > step.bytes_kept_alone > 0 and step.image == (4, 1, 28, 28)


def test_config_and_random_state_are_left_as_they_were(cfg):
    before, state = copy.deepcopy(cfg.to_dict()), torch.get_rng_state()
    assert dry_step(cfg).iterations == 2 * 384 // 4
    assert cfg.to_dict() == before and torch.equal(torch.get_rng_state(), state)


def test_a_loss_that_is_not_finite_is_named(cfg):
    cfg.model.distill_loss.loss_weight = 3e38
    with pytest.raises(ConfigError, match=r'the first step is not finite: .*loss_distill'):
        dry_step(cfg)


def test_data_sets_are_not_downloaded(cfg, monkeypatch):
    def download(*args, **kwargs):
        raise AssertionError('a dry step downloads')

    monkeypatch.setattr('mmpretrain.datasets.mnist.download_and_extract_archive', download)
    cfg.train_dataloader.dataset.update(data_root='nowhere', download=True)
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
    assert 'made' in ' '.join(dry_step(cfg).lines())
