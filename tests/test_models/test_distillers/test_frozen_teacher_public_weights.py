"""A teacher from a checkpoint in a public layout."""

import pytest
import torch
from cifar import cifar_config, public_state, reference, reference_images
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS

from mmreviewkd.models import FrozenTeacher
from mmreviewkd.utils import CheckpointError

ClsDataPreprocessor = pytest.importorskip('mmpretrain.models').ClsDataPreprocessor
DataSample = pytest.importorskip('mmpretrain.structures').DataSample

pytestmark = pytest.mark.usefixtures('probes_of_32_pixels')


def distillation(checkpoint):
    cfg = cifar_config('wrn-16-2_review-wrn-40-2')
    cfg.model.data_preprocessor = cfg.data_preprocessor
    cfg.model.teacher.update(checkpoint=str(checkpoint), model='mmreviewkd::cifar100/wrn-16-2.py')
    cfg.model.warmup_epochs = 0
    return cfg


@pytest.mark.parametrize('wrap', [
    lambda state: state, lambda state: dict(model=state, opt=dict(lr=0.1)), lambda state: dict(state_dict=state),
    lambda state: dict(model={f'module.{entry}': value for entry, value in state.items()}),
], ids=['bare', 'model', 'state_dict', 'module.'])
def test_gives_the_published_logits(wrap, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mmreviewkd.models.distillers.frozen_teacher.print_log', lambda text, _: said.append(text))
    # Files of 2019 are of torch's old format.
    torch.save(wrap(public_state('wrn_16_2')), tmp_path / 'published.pth', _use_new_zipfile_serialization=False)
    teacher = FrozenTeacher('mmreviewkd::cifar100/wrn-16-2.py', str(tmp_path / 'published.pth'), logits='head.fc')
    student = torch.nn.Linear(1, 1)
    student.data_preprocessor = ClsDataPreprocessor()
    teacher.load(student)
    assert '83 of 83 entries mapped: conv1 -> backbone.conv1, block1.layer -> backbone.layer1' in ''.join(said)
    # The reference images are normalized already.
    teacher.view = None
    logits, = teacher.levels(reference_images().float())
    assert logits.flatten()[:10].tolist() == pytest.approx(reference('wrn_16_2')['logits'], rel=1e-3, abs=1e-5)


def test_distills_a_step(tmp_path):
    torch.save(public_state('wrn_16_2'), tmp_path / 'published.pth')
    cfg = distillation(tmp_path / 'published.pth')
    distiller = MODELS.build(cfg.model)
    distiller.init_weights()
    before = {name: value.clone() for name, value in distiller.named_parameters()}
    batch = dict(
        inputs=torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8),
        data_samples=[DataSample().set_gt_label(label) for label in range(4)])
    losses = distiller.train().train_step(batch, build_optim_wrapper(distiller, cfg.optim_wrapper))
    assert losses['loss_distill'] > 0 and torch.isfinite(losses['loss'])
    assert all(not torch.equal(value, before[name]) for name, value in distiller.named_parameters())


def test_one_of_another_network_is_counted_and_named(tmp_path):
    torch.save(public_state('resnet20'), tmp_path / 'resnet20.pth')
    distiller = MODELS.build(distillation(tmp_path / 'resnet20.pth').model)
    with pytest.raises(CheckpointError, match=r'teacher.checkpoint: .*resnet20.pth.* of 83 entries, \d+ missing'):
        distiller.init_weights()
