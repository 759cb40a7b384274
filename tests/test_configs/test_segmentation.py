"""Every pair on Cityscapes and ADE20K, from its config file to a training step and a prediction."""

import pytest
import torch
from conftest import ROOT, others_exhaustive
from dry_run import shrunk, trained_step
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from segmentation import write_ade20k, write_cityscapes

from mmreviewkd.utils.config import metafile_weights, model_config, without_pretrained

SIDE = 64  # of the crops, in pixels
# The run in mmsegmentation's zoo, by the name of its file, whose mIoU the configs state.
WEIGHTS = {
    'cityscapes/deeplabv3plus_r18-512x1024_review-r101': 'deeplabv3plus_r101-d8_512x1024_80k_cityscapes',
    'cityscapes/pspnet_r18-512x1024_review-r101': 'pspnet_r101-d8_512x1024_80k_cityscapes',
    'cityscapes/segformer_b0-1024x1024_review-b2': 'segformer_mit-b2_8x1_1024x1024_160k_cityscapes',
    'ade20k/segformer_b0-512x512_review-b2': 'segformer_mit-b2_512x512_160k_ade20k',
}
# On ADE20K these two differ from the pairs on Cityscapes in data and classes alone.
OTHERS = {
    'ade20k/deeplabv3plus_r18-512x512_review-r101': 'deeplabv3plus_r101-d8_512x512_80k_ade20k',
    'ade20k/pspnet_r18-512x512_review-r101': 'pspnet_r101-d8_512x512_160k_ade20k',
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setattr('mmreviewkd.models.taps.probe.SIDES', (64,))  # the teachers are slow on a CPU
    init_default_scope('mmseg')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_cityscapes(folder / 'cityscapes')
    write_ade20k(folder / 'ade20k')
    return folder


def test_every_pair_is_tested():
    pairs = {f'{path.parent.name}/{path.stem}' for path in (ROOT / 'configs').glob('*/*_review-*.py')
             if path.parent.name in ('cityscapes', 'ade20k')}
    assert pairs == {*WEIGHTS, *OTHERS}


@pytest.mark.slow
@pytest.mark.parametrize('pair', others_exhaustive(WEIGHTS, ['ade20k/segformer_b0-512x512_review-b2']))
def test_dry_run(pair, data, hub):
    """The teacher's weights are made up, but found, checked and loaded as those of the zoo."""
    cfg = Config.fromfile(ROOT / 'configs' / f'{pair}.py')
    assert hub(cfg.model.teacher.model).name.startswith(f'{WEIGHTS[pair]}_')
    student = cfg.model.student.model
    student.data_preprocessor.size, student.test_cfg = (SIDE, SIDE), dict(mode='whole')
    folder = data / pair.split('/')[0]
    model = trained_step(cfg, first_batch(cfg.train_dataloader.dataset, folder))
    for result in model.val_step(first_batch(cfg.val_dataloader.dataset, folder)):
        assert result.pred_sem_seg.data.shape == (1, 96, 160)
        assert result.seg_logits.data.shape == (student.decode_head.num_classes, 96, 160)


@pytest.mark.parametrize('pair', OTHERS)
def test_students_on_ade20k(pair, data):
    """The student takes a training step, and its teacher names weights and has the same classes."""
    cfg = Config.fromfile(ROOT / 'configs' / f'{pair}.py')
    teacher = cfg.model.teacher.model
    assert f'/{OTHERS[pair]}_' in metafile_weights(teacher, 'teacher')
    model = without_pretrained(cfg.model.student.model)
    assert model_config(teacher, 'teacher').decode_head.num_classes == model.decode_head.num_classes == 150
    model.data_preprocessor.size = (SIDE, SIDE)
    torch.manual_seed(0)
    student = revert_sync_batchnorm(MODELS.build(model)).train()
    batch = first_batch(cfg.train_dataloader.dataset, data / 'ade20k')
    loss, _ = student.parse_losses(student(**student.data_preprocessor(batch, training=True), mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)
    assert [name for name, parameter in student.named_parameters() if parameter.grad is None] == []


def first_batch(dataset, folder):
    dataset.data_root = str(folder)
    shrunk(dataset.pipeline, {'scale': (160, 96), 'crop_size': (SIDE, SIDE)})
    built = DATASETS.build(dict(dataset, _scope_='mmseg'))
    return pseudo_collate([built[i] for i in range(2)])
