"""Every pair on ImageNet, from its config file to a training step and a prediction, on files laid out as ImageNet's."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torchvision
import yaml
from conftest import ROOT, others_exhaustive
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from mmreviewkd.registry import MODELS

pytest.importorskip('mmpretrain')

CONFIGS = {path.stem: path for folder in ('imagenet', 'beyond') for path in (ROOT / 'configs' / folder).glob('*.py')}
PAPER = {'resnet18_review-resnet34': (1.0, 512), 'mobilenet-v1_review-resnet50': (8.0, 256)}
# mmpretrain's Swin takes no maps smaller than its windows.
SIDES = {'resnet18_review-swin-t': 224}
# Whether (student, teacher) are tapped after the last ReLU of their stages.
AFTER_RELU = {
    'resnet18_review-resnet34': (True, True), 'resnet18_review-resnet34_before-relu': (False, False),
    'mobilenet-v1_review-resnet50': (False, True), 'mobilenet-v1_review-resnet50_before-relu': (False, False),
}
TEACHER_CHANNELS = {
    'resnet18_review-resnet34': [64, 128, 256, 512, 512],
    'mobilenet-v1_review-resnet50': [256, 512, 1024, 2048, 2048],
    'resnet18_review-resnet34_before-relu': [64, 128, 256, 512, 512],
    'mobilenet-v1_review-resnet50_before-relu': [256, 512, 1024, 2048, 2048],
    'resnet18_review-swin-t': [96, 192, 384, 768, 768],
    'resnet18_review-hrnet-w18': [18, 36, 72, 144, 2048],
    'mobilenet-v2_review-deit-s': [384] * 5,
    'efficientnet-lite0_review-resnet50': [256, 512, 1024, 2048, 2048],
}


PARAMETERS = {
    Path(model['Config']).stem: model['Metadata']['Parameters'] for folder in ('imagenet', 'beyond')
    for model in yaml.safe_load((ROOT / f'configs/{folder}/metafile.yml').read_text())['Models']}


def load(name):
    cfg = Config.fromfile(CONFIGS[name])
    cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return cfg


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    """JPEG files of ImageNet's sizes, a gray one among them, with mmpretrain's lists of them."""
    folder = tmp_path_factory.mktemp('imagenet')
    rng = np.random.default_rng(0)
    (folder / 'meta').mkdir()
    for split, names in (
            ('train', ['n01440764/n01440764_18.JPEG', 'n01440764/n01440764_36.JPEG', 'n15075141/n15075141_45.JPEG']),
            ('val', ['ILSVRC2012_val_00000001.JPEG', 'ILSVRC2012_val_00000002.JPEG'])):
        for i, name in enumerate(names):
            path = folder / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shape = [(375, 500, 3), (500, 333, 3), (400, 400)][i]
            cv2.imwrite(str(path), cv2.GaussianBlur(rng.integers(0, 256, shape, dtype=np.uint8), (9, 9), 0))
        (folder / f'meta/{split}.txt').write_text(''.join(f'{name} {i * 499}\n' for i, name in enumerate(names)))
    return folder


def first_batch(loader, data_root, side):
    """The config's own loader, its images smaller and in this process."""
    loader.update(batch_size=3, num_workers=0, persistent_workers=False)
    loader.dataset.data_root = str(data_root)
    for step in loader.dataset.pipeline:
        for key, size in (('scale', side if step.type == 'RandomResizedCrop' else side + 9), ('crop_size', side)):
            if key in step:
                step[key] = size
    return next(iter(Runner.build_dataloader(loader, seed=0)))


@pytest.mark.parametrize('name', others_exhaustive(sorted(CONFIGS), [
    'mobilenet-v1_review-resnet50', 'mobilenet-v2_review-deit-s', 'resnet18_review-resnet34']))
def test_dry_run(name, data_root, hub):
    """A teacher's weights are made up, but found, checked and loaded as those of the zoo."""
    cfg = load(name)
    distilled = '_review-' in name
    if distilled:
        hub(cfg.model.teacher.model)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    optim = build_optim_wrapper(model.train(), cfg.optim_wrapper)
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    batch = first_batch(cfg.train_dataloader, data_root, SIDES.get(name, 64))
    assert [image.shape for image in batch['inputs']] == [(3, SIDES.get(name, 64), SIDES.get(name, 64))] * 3
    data = model.data_preprocessor(batch, training=True)
    if name in AFTER_RELU:
        with torch.no_grad(), model.taps.record(model.student, data['inputs']) as recording:
            model.student(**data, mode='loss')
        levels = recording.features(), model.frozen_teacher.levels(**data)
        assert tuple(all((level >= 0).all() for level in features[:4]) for features in levels) == AFTER_RELU[name]
    loss, log = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    optim.step()
    assert torch.isfinite(loss)
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
    moved = {key for key, parameter in model.named_parameters() if not torch.equal(parameter, before[key])}
    student = model.student if distilled else model
    assert sum(parameter.numel() for parameter in student.parameters()) == PARAMETERS[name]
    if distilled:
        assert log['loss_distill'] > 0 and {key.split('.')[0] for key in moved} == {'student', 'connector'}
        logits = [1000] if 'logit_loss' in cfg.model else []
        assert model.frozen_teacher.probe().channels == TEACHER_CHANNELS[name] + logits
        assert all(p.grad is None and not p.requires_grad for p in model.frozen_teacher.model.parameters())

    results = model.eval().val_step(first_batch(cfg.val_dataloader, data_root, SIDES.get(name, 64)))
    assert [int(result.gt_label) for result in results] == [0, 499]
    for result in results:
        assert result.pred_score.shape == (1000,)
        torch.testing.assert_close(result.pred_score.sum(), torch.tensor(1.0))


def holds(config, **values):
    return {key: value for key, value in config.items() if key != '_scope_'} == values


def test_the_papers_pairs_follow_the_authors_recipe():
    for name in AFTER_RELU:
        weight, mid_channels = PAPER[name.removesuffix('_before-relu')]
        cfg = load(name)
        assert holds(cfg.optim_wrapper.optimizer, type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4)
        assert cfg.auto_scale_lr.base_batch_size == 256 == 8 * cfg.train_dataloader.batch_size
        assert cfg.train_cfg.max_epochs == 100 and not cfg.model.get('warmup_epochs')
        assert holds(cfg.param_scheduler, type='MultiStepLR', by_epoch=True, milestones=[30, 60, 90], gamma=0.1)
        assert holds(cfg.model.student.model.head.loss, type='CrossEntropyLoss', loss_weight=1.0)
        assert cfg.model.distill_loss == dict(type='HierarchicalContextLoss', loss_weight=weight)
        assert cfg.model.connector == dict(type='ReviewConnector', mid_channels=mid_channels)


@pytest.mark.parametrize('name', [*PAPER, 'efficientnet-lite0_review-resnet50'])
def test_the_baseline_beside_it_differs_in_the_model_alone(name):
    cfg, baseline = load(name), load(name.split('_')[0])
    assert {**cfg.model.student.model, 'data_preprocessor': cfg.data_preprocessor} == baseline.model
    for config in (cfg, baseline):
        config.pop('model')
        config.pop('custom_hooks', None)
    assert cfg.to_dict() == baseline.to_dict()


def test_the_students_start_as_in_the_authors_code():
    """As torchvision's ResNet-18 and a MobileNet of plain PyTorch modules."""
    torch.manual_seed(0)
    resnet, mobilenet = MODELS.build(load('resnet18').model), MODELS.build(load('mobilenet-v1').model)
    resnet.init_weights()
    mobilenet.init_weights()
    assert all((block.bn2.weight == 1).all() for block in [*resnet.backbone.layer1, *resnet.backbone.layer4])
    expected = torchvision.models.resnet18()
    pairs = [(resnet.backbone.layer3[1].conv2, expected.layer3[1].conv2), (resnet.head.fc, expected.fc),
             (mobilenet.backbone.layer4[0].conv2, torch.nn.Conv2d(512, 1024, 1)),
             (mobilenet.backbone.layer1[1].conv1, torch.nn.Conv2d(64, 64, 3, groups=64)),
             (mobilenet.head.fc, torch.nn.Linear(1024, 1000))]
    for module, reference in pairs:
        torch.testing.assert_close(module.weight.std(), reference.weight.std(), rtol=0.1, atol=0)
        torch.testing.assert_close(module.weight.abs().max(), reference.weight.abs().max(), rtol=0.3, atol=0)
