"""The RTMDet pair, from its config file to a training step and a prediction, on a data set of COCO's format."""

import pytest
import torch
from conftest import ROOT, others_exhaustive
from detection import batch_of, write_coco
from dry_run import shrunk, trained_step
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

CONFIG = ROOT / 'configs' / 'rtmdet' / 'rtmdet_s_review-l.py'
SIDE = (128, 128)  # of the images, in pixels


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setattr('mmreviewkd.models.taps.probe.SIDES', (64,))  # the teachers are slow on a CPU
    init_default_scope('mmdet')


def test_the_students_own_hooks_stay():
    base = Config.fromfile(CONFIG)
    assert [hook.type for hook in base.custom_hooks] == [
        'EMAHook', 'PipelineSwitchHook', 'mmreviewkd.ExportStudentHook']


@pytest.mark.parametrize('stage', others_exhaustive([1, 2], 1))
def test_dry_run(stage, tmp_path, hub):
    """The teacher's weights are made up, but found, checked and loaded as those of the zoo."""
    write_coco(tmp_path / 'coco', [(96, 160), (160, 96)])
    cfg = Config.fromfile(CONFIG)
    hub(cfg.model.teacher.model)
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    if stage == 2:
        train.pipeline = cfg.custom_hooks[1].switch_pipeline
    for dataset in (train, val):
        dataset.data_root = f'{tmp_path}/coco/'
        shrunk(dataset.pipeline, {None: SIDE})
    model = trained_step(cfg, batch_of(DATASETS.build(dict(train, _scope_='mmdet'))))
    for result in model.val_step(batch_of(DATASETS.build(dict(val, _scope_='mmdet')))):
        assert torch.isfinite(result.pred_instances.bboxes).all()
