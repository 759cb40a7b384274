"""From two configs and a checkpoint to a written config that trains."""

import json
from pathlib import Path

import pytest
import torch
from conftest import ROOT, run_tool, small_run
from mmengine.config import Config

from mmreviewkd.apis import distill
from mmreviewkd.models.build import build_model
from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.config import model_config

pytest.importorskip('mmpretrain')
pytestmark = pytest.mark.slow

TEACHER = 'mmreviewkd::fashion_mnist/resnet14.py'
PURE_PYTHON_SCHEDULE = '''
from mmengine.optim import OptimWrapper
from torch.optim import SGD

optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.1))
train_cfg = dict(by_epoch=True, max_epochs=1)
'''
PURE_PYTHON = '''
from mmengine.config import read_base
from mmengine.dataset import DefaultSampler
from mmpretrain.datasets import FashionMNIST, PackInputs, RandomCrop
from mmpretrain.engine import EMAHook
from mmpretrain.models import CrossEntropyLoss, GlobalAveragePooling, ImageClassifier, LinearClsHead

from mmreviewkd.models.backbones import CIFARResNet

with read_base():
    from .schedule import *

default_scope = None  # as in mmpretrain's own pure Python configs
model = dict(
    type=ImageClassifier,
    backbone=dict(type=CIFARResNet, depth=8, widths=(4, 4, 8, 16), in_channels=1),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=10, in_channels=16, loss=dict(type=CrossEntropyLoss)))
data_preprocessor = dict(mean=[72.94], std=[90.02], num_classes=10)
train_dataloader = dict(
    batch_size=64, num_workers=2, persistent_workers=True, sampler=dict(type=DefaultSampler, shuffle=True),
    dataset=dict(
        type=FashionMNIST, data_root=DATA_ROOT,
        pipeline=[dict(type=RandomCrop, crop_size=28, padding=2), dict(type=PackInputs)]))
custom_hooks = [dict(type=EMAHook, momentum=0.1)]
'''

USER_NET = '''
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import nn


@MODELS.register_module()
class UserNet(BaseModel):

    def __init__(self, width, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.early = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(2 * width, 10)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        scores = self.classifier(self.pool(self.late(self.early(inputs))).flatten(1))
        if mode != 'loss':
            return scores
        return dict(loss=nn.functional.cross_entropy(scores, torch.cat([sample.gt_label for sample in data_samples])))
'''


@pytest.fixture
def student(tmp_path, fashion_mnist, monkeypatch):
    """The path of the config of a student that trains for two epochs of two iterations; the test runs beside it."""
    monkeypatch.chdir(tmp_path)
    few = {'train_dataloader.dataset.indices': 64, 'train_dataloader.batch_size': 32}
    small_run('resnet8.py', fashion_mnist, **few).dump('student.py')
    return 'student.py'


@pytest.fixture
def weights(tmp_path):
    """The path of a checkpoint of the teacher."""
    path = tmp_path / 'teacher.pth'
    teacher = build_model(model_config(TEACHER, 'teacher'), 'teacher')
    torch.save(dict(state_dict=teacher.state_dict()), path)
    return str(path)


def test_a_pair_of_classifiers_is_written_trained_and_exported(student, weights, tmp_path, capsys):
    file = distill(student, TEACHER, weights, out='pairs/pair.py', train=True, work_dir='work')
    printed = capsys.readouterr().out
    for expected in (
            'backbone.layer3[-1].relu:input', '14 x 14', '32 channels', 'on its own data: 32 x 1 x 28 x 28',
            'loss_student', 'gradient norms', 'the student alone', 'training: 4 iterations', 'wrote pairs/pair.py'):
        assert expected in printed
    assert 'levels, fine to coarse, at images of 1 x 28 x 28' in printed and '7 x 7' in printed
    assert 'left out' not in printed and 'init_weights' not in printed.partition('wrote')[0]

    text, cfg = file.read_text(), Config.fromfile(file)
    assert "_base_ = '../student.py'" in text and len(text.splitlines()) < 40
    assert 'logit KD over 10 classes: head.fc of the student, head.fc of the teacher' in printed
    assert (cfg.model.student.logits, cfg.model.teacher.logits) == ('head.fc', 'head.fc')
    assert cfg.model.distill_loss.to_dict() == dict(type='PearsonCorrelationLoss', loss_weight=30.0)
    assert cfg.model.logit_loss.to_dict() == dict(type='LogitDistillationLoss', temperature=4.0, loss_weight=3.0)
    assert cfg.model.warmup_ratio == 0.05
    assert cfg.model.student.taps == [f'backbone.layer{i}[-1].relu:input' for i in (1, 2, 3)] + ['neck']
    assert cfg.model.teacher.checkpoint == weights and cfg.model.student.model.type == 'ImageClassifier'
    hooks = [hook['type'] for hook in cfg.custom_hooks]
    assert hooks == ['mmreviewkd.ChannelsLastHook', 'mmreviewkd.LevelScalarsHook', 'mmreviewkd.LevelPicturesHook']

    log = max((tmp_path / 'work').glob('*/vis_data/scalars.json')).read_text().splitlines()
    assert sum({'loss_distill', 'loss_logit'} <= set(json.loads(line)) for line in log) == 4
    exported = Config.fromfile(tmp_path / 'work' / 'student' / 'student.py')
    state = torch.load(tmp_path / 'work' / 'student' / 'student.pth', weights_only=True)['state_dict']
    build_model(Config.fromfile(student).model, 'student').load_state_dict(state, strict=True)
    assert 'mmreviewkd' not in exported.pretty_text and exported.model.type == 'ImageClassifier'


def test_without_its_images_the_pipeline_runs_on_made_up_ones(student, weights, capsys):
    root = Config.fromfile(student).train_dataloader.dataset.data_root
    text = Path(student).read_text()
    Path('absent.py').write_text(text.replace(root, 'nowhere'))
    distill('absent.py', TEACHER, weights, out='pair.py')
    printed = capsys.readouterr().out
    assert 'made-up data, as the images are not here (Cannot find FashionMNIST dataset in nowhere' in printed
    assert '32 x 1 x 28 x 28' in printed and "the whole training: unknown, as the data set's length is" in printed


def test_a_pure_python_config_is_built_on(tmp_path, weights, fashion_mnist, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('schedule.py').write_text(PURE_PYTHON_SCHEDULE)
    Path('pure.py').write_text(PURE_PYTHON.replace('DATA_ROOT', repr(str(fashion_mnist))))
    file = distill('pure.py', 'pure.py', 'init_cfg', out='pair.py', train=True, work_dir='work')
    printed = capsys.readouterr().out
    assert 'on its own data: 64 x 1 x 28 x 28' in printed and 'pretrained weights were left out' not in printed
    assert 'with read_base():\n    from .pure import *\n' in file.read_text()
    cfg = Config.fromfile(file)
    assert cfg.model.type == 'mmreviewkd.ReviewDistiller' and cfg.model.teacher.model == 'pure.py'
    assert cfg.model.student.model.type.__name__ == 'ImageClassifier'
    assert len(cfg.custom_hooks) == 3
    exported = (tmp_path / 'work' / 'student' / 'student.py').read_text()
    assert "type='CIFARResNet'" in exported and 'mmreviewkd' not in exported


def test_options_are_written_into_the_config(student, weights):
    options = {
        'model.distill_loss.loss_weight': 5.0, 'model.warmup_epochs': 1, 'train_dataloader.batch_size': 16,
        'train_cfg.max_epochs': 3}
    cfg = Config.fromfile(distill(student, TEACHER, weights, out='pair.py', cfg_options=options))
    assert (cfg.model.distill_loss.loss_weight, cfg.model.warmup_epochs) == (5.0, 1)
    assert 'warmup_ratio' not in cfg.model
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (16, 3, 2)


def test_a_teacher_of_other_classes_gives_features_only(student, weights, capsys):
    Path('other.py').write_text(Path(student).read_text().replace('num_classes=10', 'num_classes=11'))
    cfg = Config.fromfile(distill(student, 'other.py', 'init_cfg', out='pair.py'))
    assert 'no logit KD: the student has 10 classes, the teacher 11' in capsys.readouterr().out
    assert 'logit_loss' not in cfg.model and 'logits' not in cfg.model.student


@pytest.mark.parametrize(('change', 'message'), [
    (dict(out='student.py', force=True), "--out: 'student.py' is the student's own config"),
    (dict(out='pair.txt'), "--out: 'pair.txt' must be the path of a Python file"),
    (dict(out='there.py'), r"--out: 'there.py' exists; choose another name, or overwrite it with --force"),
    (dict(student='absent.py'), "student: there is no config file 'absent.py'"),
    (dict(teacher='mmpretrain::resnet/resnet19.py'), "teacher: mmpretrain has no config 'resnet/resnet19.py'; did you"),
    (dict(student='mmreviewkd::fashion_mnist/resnet8_review-resnet14.py'), 'is itself a distillation'),
    (dict(teacher='mmpretrain::resnet/resnet18_8xb16_cifar10.py', checkpoint='init_cfg'),
     "teacher.taps='auto': ImageClassifier could not be run on a blank image of 1 x 28 x 28 .* 3 channels"),
    (dict(checkpoint='absent.pth'), "teacher.checkpoint: there is no file 'absent.pth'"),
    (dict(cfg_options={'model.student.model.depth': 1}), "model.student.model.depth would change the student's own"),
    (dict(cfg_options={'custom_hooks.0.priority': 1}), 'custom_hooks.0.priority changes an item of a list'),
    (dict(cfg_options={'default_hooks.9.priority': 1}), 'default_hooks.9.priority changes an item of a list'),
    (dict(cfg_options={'train_cfg.max_epochs.first': 1}), '--cfg-options: .* does not fit the config'),
    (dict(work_dir='work'), '--work-dir: the folder of a training; train the config with --train'),
])
def test_what_cannot_be_used_is_named_and_nothing_is_written(student, weights, tmp_path, change, message):
    (tmp_path / 'there.py').write_text('mine = 1\n')
    before = {path.name: path.read_text() for path in tmp_path.glob('*.py')}
    with pytest.raises(ConfigError, match=message.replace('(', r'\(')):
        distill(**{**dict(student=student, teacher=TEACHER, checkpoint=weights), **change})
    assert {path.name: path.read_text() for path in tmp_path.glob('*.py')} == before


def test_a_damaged_checkpoint_is_named_as_it_was_given(student):
    Path('damaged.pth').write_bytes(b'PK garbage')
    with pytest.raises(ConfigError, match=r"teacher.checkpoint: 'damaged.pth' .* is no whole checkpoint"):
        distill(student, TEACHER, 'damaged.pth', out='pair.py')


def test_a_student_that_distills_by_itself_is_named():
    pytest.importorskip('mmdet')
    with pytest.raises(ConfigError, match='student is a KnowledgeDistillationSingleStageDetector, which distills from'):
        distill('mmdet::ld/ld_r18-gflv1-r101_fpn_1x_coco.py', TEACHER, 'init_cfg', out='ld.py')


def test_models_of_a_users_own_file_are_paired(student, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    Path('user_net.py').write_text(USER_NET)
    for name, width in (('small', 4), ('large', 8)):
        Path(f'{name}.py').write_text(
            f"_base_ = {student!r}\ncustom_imports = dict(imports=['user_net'], allow_failed_imports=False)\n"
            f"data_preprocessor = dict(type='ClsDataPreprocessor')\n"
            f"model = dict(_delete_=True, type='mmengine.UserNet', width={width})\n")
    cfg = Config.fromfile(distill('small.py', 'large.py', 'init_cfg', out='pair.py'))
    assert cfg.model.student.taps == cfg.model.teacher.taps == ['early[-1]:input', 'late[-1]:input', 'pool']
    assert 'on its own data: 32 x 1 x 28 x 28' in capsys.readouterr().out


def test_force_overwrites(student, weights, tmp_path):
    (tmp_path / 'there.py').write_text('mine = 1\n')
    distill(student, TEACHER, weights, out='there.py', force=True)
    assert 'ReviewDistiller' in (tmp_path / 'there.py').read_text()


def test_a_broken_pipeline_is_no_missing_image(student, weights):
    pipeline = "[dict(type='RandomCrop', crop_size=-1)]"
    Path('broken.py').write_text(
        f"_base_ = 'student.py'\ntrain_dataloader = dict(dataset=dict(pipeline={pipeline}))\n")
    with pytest.raises(ConfigError, match='train_dataloader: no batch can be made: AssertionError'):
        distill('broken.py', TEACHER, weights)


def test_a_pair_of_detectors_is_tried_on_made_up_scenes(tmp_path, monkeypatch, capsys):
    pytest.importorskip('mmcv.ops')
    pytest.importorskip('mmdet')
    monkeypatch.chdir(tmp_path)
    names = [f'mmreviewkd::fashion_scenes/mask-rcnn_{depth}.py' for depth in ('r18', 'r34')]
    file = distill(*names, 'init_cfg', cfg_options={'train_dataloader.batch_size': 2})
    printed = capsys.readouterr().out
    assert file.name == 'mask-rcnn_r18_review-mask-rcnn_r34.py'
    assert 'made-up data' in printed and 'loss_mask' in printed and 'neck:output[0]' in printed.replace('  ', ' ')
    assert Config.fromfile(file).model.student.taps == ['neck'] and 'logit KD' not in printed


def test_the_tool_ends_bad_input_in_one_line(student, weights, tmp_path):
    tool = ROOT / 'tools' / 'distill.py'
    done = run_tool(tool, student, TEACHER, 'absent.pth', '--out', 'pair.py', cwd=tmp_path, check=False)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: teacher.checkpoint: there is no file 'absent.pth'")
    assert not (tmp_path / 'pair.py').exists()
