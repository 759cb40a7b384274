"""A shortened schedule keeps its shape."""

import pytest
from mmengine.config import Config

from mmreviewkd.apis.shorten import shorten
from mmreviewkd.utils import ConfigError


def test_training_schedulers_and_warm_up_shrink_alike():
    cfg = Config(dict(
        model=dict(warmup_iters=60), train_cfg=dict(by_epoch=True, max_epochs=300),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
            dict(type='MultiStepLR', by_epoch=True, milestones=[200, 275], gamma=0.1),
            dict(type='OneCycleLR', eta_max=0.1, total_steps=300),
            dict(type='CosineAnnealingLR', T_max=299, begin=1)]))
    shorten(cfg, 0.2)
    assert cfg.train_cfg.max_epochs == 60 and cfg.model.warmup_iters == 12
    linear, steps, cycle, cosine = cfg.param_scheduler
    assert (linear.begin, linear.end, linear.start_factor) == (0, 100, 0.1)
    assert steps.milestones == [40, 55] and cycle.total_steps == 60 and (cosine.begin, cosine.T_max) == (1, 60)


def test_a_run_by_iterations_and_a_single_scheduler():
    cfg = Config(dict(
        model=dict(warmup_epochs=3), train_cfg=dict(max_iters=90000),
        param_scheduler=dict(type='MultiStepLR', milestones=[60000, 80000])))
    shorten(cfg, 0.1)
    assert cfg.train_cfg.max_iters == 9000 and cfg.param_scheduler.milestones == [6000, 8000]
    assert cfg.model.warmup_epochs == pytest.approx(0.3)


def test_validation_begins_and_changes_at_the_same_share_of_the_run():
    cfg = Config(dict(model={}, train_cfg=dict(
        max_epochs=300, val_begin=200, val_interval=10, dynamic_intervals=[(280, 1)])))
    shorten(cfg, 0.1)
    assert cfg.train_cfg.to_dict() == dict(
        max_epochs=30, val_begin=20, val_interval=10, dynamic_intervals=[(28, 1)])


def test_a_training_without_length_is_named():
    with pytest.raises(ConfigError, match=r'train_cfg has neither `max_epochs` nor `max_iters`'):
        shorten(Config(dict(model={}, train_cfg=dict(by_epoch=True))), 0.5)


def test_a_schedule_by_iterations_fits_the_rounded_epochs():
    cfg = Config(dict(
        model={}, train_cfg=dict(by_epoch=True, max_epochs=6),
        param_scheduler=dict(type='OneCycleLR', by_epoch=False, eta_max=0.1, total_steps=24)))
    shorten(cfg, 0.25)
    assert cfg.train_cfg.max_epochs == 2 and cfg.param_scheduler.total_steps == 8
