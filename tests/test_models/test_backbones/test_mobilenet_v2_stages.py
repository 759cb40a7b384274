"""MobileNetV2 without the convolution that no pyramid uses."""

import pytest
import torch
from conftest import ROOT, run_tool
from detection import few_rois, raw_batch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmreviewkd.apis import export_student
from mmreviewkd.registry import MODELS
from mmreviewkd.studies.without_plugin import command_without_plugin
from mmreviewkd.utils.config import without_pretrained

MobileNetV2 = pytest.importorskip('mmdet.models.backbones').MobileNetV2
MobileNetV2Stages = MODELS.get('MobileNetV2Stages')
EXTRACT = '''
import sys
import torch
from mmdet.apis import init_detector
model = init_detector(sys.argv[1], sys.argv[1].replace('.py', '.pth'), device='cpu')
torch.save(model.extract_feat(torch.linspace(-1, 1, 3 * 64 * 96).reshape(1, 3, 64, 96)), 'features.pth')
'''
ALONE, PAIR = 'faster-rcnn_mobilenet-v2_fpn', 'mask-rcnn_mobilenet-v2_review-r50'


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet')


def config(name):
    cfg = Config.fromfile(ROOT / 'configs' / 'coco' / f'{name}.py')
    cfg.model = without_pretrained(cfg.model)
    student = cfg.model.student.model if 'student' in cfg.model else cfg.model
    few_rois(student)
    if 'teacher' in cfg.model:
        cfg.model.teacher.update(checkpoint='init_cfg', model=without_pretrained(Config.fromfile(
            ROOT / 'configs' / 'coco' / f'{name.split("_")[0]}_r50_fpn.py').model))
    return cfg


def test_the_stages_are_those_of_the_whole_network(caplog, tmp_path):
    """From one checkpoint, which loads into both without a word about what does not fit."""
    torch.manual_seed(0)
    whole = MobileNetV2(out_indices=(1, 2, 4, 6))
    whole.train(False)  # its own eval() gives no model back
    torch.save(dict(state_dict=whole.state_dict()), tmp_path / 'imagenet.pth')
    stages = MobileNetV2Stages(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'imagenet.pth')))
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        stages.init_weights()
    finally:
        logger.removeHandler(caplog.handler)
    assert 'load model from' in caplog.text
    assert 'do not match' not in caplog.text
    assert [name for name in stages.state_dict() if name.startswith('conv2')] == []
    stages.load_state_dict(whole.state_dict(), strict=True)
    image = torch.randn(1, 3, 64, 96)
    stages.train(False)
    found, expected = stages(image), whole(image)
    assert [tuple(f.shape[1:]) for f in found] == [(24, 16, 24), (32, 8, 12), (96, 4, 6), (320, 2, 3)]
    assert all(torch.equal(f, e) for f, e in zip(found, expected))


def test_the_last_convolution_is_refused():
    with pytest.raises(ValueError, match=r'use MobileNetV2$'):
        MobileNetV2Stages(out_indices=(1, 2, 4, 7))


@pytest.mark.parametrize('name', [ALONE, PAIR])
def test_ddp_finds_no_unused_parameter(name, tmp_path):
    cfg = config(name)
    assert 'find_unused_parameters' not in cfg
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        model = MODELS.build(cfg.model)
        model.init_weights()
        model = MMDistributedDataParallel(model.train())
        optim = build_optim_wrapper(model, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-4)))
        batch = [(3, 64, 96), (3, 64, 80)]
        for _ in range(2):  # a parameter without a gradient stops the step after
            log = model.train_step(raw_batch(batch, 80, with_mask=name.startswith('mask')), optim)
        assert torch.isfinite(log['loss'])
    finally:
        torch.distributed.destroy_process_group()


def test_the_exported_student_runs_in_plain_mmdet(tmp_path):
    cfg = config(PAIR)
    cfg.model.student.model.test_cfg.rcnn.score_thr = 0.0
    model = MODELS.build(cfg.model)
    student = export_student(cfg, model.state_dict(), tmp_path)
    image = torch.linspace(-1, 1, 3 * 64 * 96).reshape(1, 3, 64, 96)
    expected = model.student.eval().extract_feat(image)
    (tmp_path / 'extract.py').write_text(EXTRACT)
    threads = str(torch.get_num_threads())  # another number rounds differently
    run_tool(*command_without_plugin(tmp_path / 'extract.py', student), cwd=tmp_path, PYTHONPATH='',
             OMP_NUM_THREADS=threads)
    found = torch.load(tmp_path / 'features.pth', weights_only=True)
    assert len(found) == 5
    assert all(torch.equal(f, e) for f, e in zip(found, expected))
