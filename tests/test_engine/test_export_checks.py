"""What would stop the export is found before training; pure-Python configs can be exported."""

import pytest
import torch
from conftest import small_run
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmreviewkd.apis import build_runner, export_student
from mmreviewkd.utils.errors import ConfigError

PURE_PYTHON = '''
from mmengine.config import read_base

with read_base():
    from .student import *

from mmengine.hooks import CheckpointHook
from mmreviewkd.engine.hooks import ExportStudentHook
from mmreviewkd.models.connectors import ReviewConnector
from mmreviewkd.models.distillers import ReviewDistiller
from mmreviewkd.models.losses import HierarchicalContextLoss

default_scope = 'mmpretrain'
taps = ['backbone.layer1', 'backbone.layer2', 'backbone.layer3', 'neck']
model = dict(
    type=ReviewDistiller, student=dict(model=model, taps=taps),
    teacher=dict(model=model, checkpoint='init_cfg', taps=taps),
    connector=dict(type=ReviewConnector), distill_loss=dict(type=HierarchicalContextLoss))
default_hooks = dict(checkpoint=dict(type=CheckpointHook, interval=1))
custom_hooks = [dict(type=ExportStudentHook)]
'''
STUDENT = '''
from mmpretrain.models import CrossEntropyLoss, GlobalAveragePooling, ImageClassifier, LinearClsHead
from mmreviewkd.models.backbones import CIFARResNet

model = dict(
    type=ImageClassifier, backbone=dict(type=CIFARResNet, depth=8, widths=(4, 4, 8, 16), in_channels=1),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=10, in_channels=16, loss=dict(type=CrossEntropyLoss)))
'''


def test_a_pure_python_config_is_exported(tmp_path):
    pytest.importorskip('mmpretrain')
    (tmp_path / 'student.py').write_text(STUDENT)
    (tmp_path / 'review.py').write_text(PURE_PYTHON)
    cfg = Config.fromfile(tmp_path / 'review.py')
    init_default_scope('mmpretrain')
    distiller = MODELS.build(cfg.model)
    out = export_student(cfg, distiller.state_dict(), tmp_path / 'out')
    assert 'mmreviewkd' not in out.read_text()
    student = MODELS.build(Config.fromfile(out).model)
    student.load_state_dict(torch.load(out.with_suffix('.pth'), weights_only=True)['state_dict'], strict=True)
    images = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(student.eval()(images)[0], distiller.eval().student(images)[0])


@pytest.mark.parametrize('obstacle', ['a component that cannot go along', 'a folder that cannot be written to'])
def test_obstacles_are_found_before_training(fashion_mnist, tmp_path, obstacle):
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist, **{'model.warmup_iters': 4})
    cfg.work_dir, cfg.experiment_name = str(tmp_path), obstacle.replace(' ', '_')
    if 'component' in obstacle:
        cfg.tta_model = dict(type='mmreviewkd.NoSuchPart')  # built by testing only
    else:
        (tmp_path / 'student').write_text('a file in the place of the folder')
    with pytest.raises(ConfigError, match='ExportStudentHook: out_dir' if 'folder' in obstacle else 'NoSuchPart'):
        build_runner(cfg).train()
    assert not list(tmp_path.glob('*.pth'))
