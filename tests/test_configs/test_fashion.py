"""Every config on Fashion-MNIST and its scenes takes a training step and predicts, on real images of theirs."""

import importlib.util

import pytest
import torch
from conftest import ROOT, others_exhaustive
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmreviewkd.registry import MODELS
from mmreviewkd.studies.fashion_scenes import make_fashion_scenes

CONFIGS = sorted(
    str(path.relative_to(ROOT / 'configs').with_suffix('')) for folder in ('fashion_mnist', 'fashion_scenes')
    for path in (ROOT / 'configs' / folder).rglob('*.py'))


@pytest.fixture(scope='module')
def place(fashion_mnist, tmp_path_factory):
    """A folder in which the configs find their data: few images, in the files of the whole."""
    folder = tmp_path_factory.mktemp('place')
    (folder / 'data').mkdir()
    (folder / 'data' / 'fashion_mnist').symlink_to(fashion_mnist)
    if importlib.util.find_spec('pycocotools'):
        make_fashion_scenes(folder / 'data' / 'fashion_scenes', fashion_mnist, 4, 2)
    return folder


def libraries_of(name):
    if 'scenes' not in name:
        return ['mmpretrain']
    return ['mmcv.ops', 'mmseg.models' if 'fpn' in name else 'mmdet', 'pycocotools']


@pytest.mark.parametrize('name', others_exhaustive(CONFIGS, [
    name for name in CONFIGS if 'ablation' not in name and 'faster' not in name]))
def test_dry_run(name, place, monkeypatch):
    for library in libraries_of(name):
        pytest.importorskip(library)
    monkeypatch.chdir(place)
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    init_default_scope(cfg.default_scope)
    if 'data_preprocessor' in cfg:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    distilled = 'teacher' in cfg.model
    if distilled:
        cfg.model.teacher.checkpoint = 'init_cfg'
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    optim = build_optim_wrapper(model.train(), cfg.optim_wrapper)
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    batch = first_batch(cfg.train_dataloader)
    loss, log = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
    optim.step()
    moved = {key for key, parameter in model.named_parameters() if not torch.equal(parameter, before[key])}
    assert moved
    if distilled:
        assert any(log.get(key, 0) > 0 for key in ('loss_distill', 'loss_logit'))
        assert all(p.grad is None and not p.requires_grad for p in model.frozen_teacher.model.parameters())

    loader = cfg.val_dataloader
    results = model.eval().val_step(first_batch(loader, min(2, loader.batch_size)))
    assert len(results) == min(2, loader.batch_size)
    for result in results:
        if 'pred_score' in result:
            torch.testing.assert_close(result.pred_score.sum(), torch.tensor(1.0))
        elif 'pred_sem_seg' in result:
            assert result.pred_sem_seg.data.shape == result.gt_sem_seg.data.shape == (1, *result.ori_shape)
            assert set(result.pred_sem_seg.data.unique().tolist()) <= set(range(11))
        else:
            assert ('masks' in result.pred_instances) == ('mask-rcnn' in name)


def first_batch(loader, size=2):
    if 'indices' in loader.dataset:
        loader.dataset.indices = 2
    loader.batch_size = size
    return next(iter(Runner.build_dataloader(loader, seed=0)))
