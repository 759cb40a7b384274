"""What would stop the export is found before training; pure-Python configs can be exported."""

import math
import sys

import pytest
import torch
from conftest import review_config, small_run
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmreviewkd.apis import build_runner, export_student
from mmreviewkd.engine.export import student_files
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


OWN_NET = '''
from mmengine.registry import MODELS
from mmpretrain.models import GlobalAveragePooling

@MODELS.register_module()
class OwnPooling(GlobalAveragePooling):
    """A module of the user's own."""
'''


def test_the_users_own_modules_and_infinity_are_read_in_a_folder_with_quotes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'own_net.py').write_text(OWN_NET)
    cfg = Config(dict(
        model=review_config(), default_scope='mmpretrain',
        custom_imports=dict(imports=['own_net', 'mmreviewkd.models'], allow_failed_imports=False),
        optim_wrapper=dict(clip_grad=dict(max_norm=5, norm_type=math.inf))))
    cfg.model.student.model.neck.type = 'mmengine.OwnPooling'
    out = tmp_path / 'it\'s "mine"' / 'student.py'
    out.parent.mkdir()
    for name, content in student_files(cfg).items():
        (out.parent / name).write_text(content)
    assert 'own_net' not in sys.modules and 'mmreviewkd' not in out.read_text()
    student = Config.fromfile(out)
    assert student.custom_imports.imports == ['cifar_resnet', 'own_net']
    assert student.optim_wrapper.clip_grad.norm_type == math.inf
    assert type(MODELS.build(student.model).neck).__name__ == 'OwnPooling'


def test_custom_keys_name_the_parameters_of_the_plain_student():
    keys = {'student.backbone': dict(lr_mult=0.1), 'head': dict(lr_mult=2.0), 'connector': dict(lr_mult=3.0)}
    cfg = Config(dict(
        model=review_config(), default_scope='mmpretrain', optim_wrapper=dict(paramwise_cfg=dict(custom_keys=keys))))
    text = student_files(cfg)['student.py']
    found = Config.fromstring(text.partition('\n\n')[2].partition('\n')[2], '.py')  # without the import of the folder
    assert found.optim_wrapper.paramwise_cfg.custom_keys == {
        'backbone': dict(lr_mult=0.1), 'head': dict(lr_mult=2.0)}
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == keys


@pytest.mark.parametrize('obstacle', [
    'a component that cannot go along', 'a value that has no code', 'a folder that cannot be written to'])
def test_obstacles_are_found_before_training(fashion_mnist, tmp_path, obstacle):
    cfg = small_run('resnet8_review-resnet14.py', fashion_mnist, **{'model.warmup_iters': 4})
    cfg.work_dir, cfg.experiment_name = str(tmp_path), obstacle.replace(' ', '_')
    if 'component' in obstacle:
        cfg.tta_model = dict(type='mmreviewkd.NoSuchPart')  # built by testing only
    elif 'value' in obstacle:
        cfg.tta_model = dict(type='TTA', scale=torch.tensor(1.0))
    else:
        (tmp_path / 'student').write_text('a file in the place of the folder')
    message = dict(component='NoSuchPart', value=r'tta_model\.scale is tensor', folder='ExportStudentHook: out_dir')
    with pytest.raises(ConfigError, match=message[obstacle.split()[1]]):
        build_runner(cfg).train()
    assert not list(tmp_path.glob('*.pth'))
