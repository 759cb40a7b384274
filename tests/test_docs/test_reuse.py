"""The example of docs/reuse.md: mmdet's own distiller builds a connector and a loss of this package by name."""

import re

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmdet')
detection = pytest.importorskip('detection')

MODULE, CONFIG = (
    snippet for snippet in re.findall(r'```python\n(.+?)```', (ROOT / 'docs/reuse.md').read_text(), re.DOTALL)
    if 'ReviewedDetector' in snippet)


@pytest.mark.slow
def test_trains_by_the_runner_without_a_review_distiller(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / 'reviewed_detector.py').write_text(MODULE)
    (tmp_path / 'config.py').write_text(CONFIG)
    detection.write_coco(tmp_path / 'coco', [(96, 128), (128, 96)])
    teacher = detection.mmdet_model('gfl/gfl_r50_fpn_1x_coco.py')
    teacher.backbone.depth, teacher.neck.in_channels = 18, [64, 128, 256, 512]
    cfg = Config.fromfile('config.py')
    cfg.merge_from_dict({
        'model.backbone.init_cfg': None, 'model.teacher_ckpt': None,
        'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False,
        'train_dataloader.dataset.data_root': 'coco/', 'train_dataloader.batch_size': 2,
        'work_dir': 'run', 'default_hooks.logger.interval': 1, 'default_hooks.checkpoint': None,
        'optim_wrapper.optimizer.lr': 0.02, 'randomness.seed': 0, 'experiment_name': 'reuse'})
    cfg.model.teacher_config = dict(model=teacher)
    next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'Resize').scale = (128, 128)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=8)
    cfg.param_scheduler = []
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        runner = Runner.from_cfg(cfg)
        model = runner.model
        before = model.connector.blocks[0].conv1[0].weight.clone()
        runner.train()
    assert type(model).__name__ == 'ReviewedDetector'
    assert type(model.connector).__module__.startswith('mmreviewkd.')
    losses, _ = runner.message_hub.get_scalar('train/loss_review').data
    assert len(losses) == 8 and losses[-1] < losses[0]
    assert not torch.equal(model.connector.blocks[0].conv1[0].weight, before)
    assert {'loss_ld', 'loss_cls'} <= {name.removeprefix('train/') for name in runner.message_hub.log_scalars}
