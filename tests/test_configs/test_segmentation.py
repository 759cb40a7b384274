"""Every pair on Cityscapes and ADE20K, from its config file to a training step and a prediction."""

import pytest
from conftest import ROOT
from dry_run import shrunk, trained_step
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from segmentation import write_ade20k, write_cityscapes

PAIRS = sorted(
    f'{folder}/{path.stem}' for folder in ('cityscapes', 'ade20k')
    for path in (ROOT / 'configs' / folder).glob('*_review-*.py'))
SIDE = 64  # of the crops, in pixels; the teachers are slow on a CPU
# The run in mmsegmentation's zoo, by the name of its file, whose mIoU the configs state.
WEIGHTS = {
    'cityscapes/deeplabv3plus_r18-512x1024_review-r101': 'deeplabv3plus_r101-d8_512x1024_80k_cityscapes',
    'cityscapes/pspnet_r18-512x1024_review-r101': 'pspnet_r101-d8_512x1024_80k_cityscapes',
    'cityscapes/segformer_b0-1024x1024_review-b2': 'segformer_mit-b2_8x1_1024x1024_160k_cityscapes',
    'ade20k/deeplabv3plus_r18-512x512_review-r101': 'deeplabv3plus_r101-d8_512x512_80k_ade20k',
    'ade20k/pspnet_r18-512x512_review-r101': 'pspnet_r101-d8_512x512_160k_ade20k',
    'ade20k/segformer_b0-512x512_review-b2': 'segformer_mit-b2_512x512_160k_ade20k',
}


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmseg')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_cityscapes(folder / 'cityscapes')
    write_ade20k(folder / 'ade20k')
    return folder


@pytest.mark.parametrize('pair', PAIRS)
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


def first_batch(dataset, folder):
    dataset.data_root = str(folder)
    shrunk(dataset.pipeline, {'scale': (160, 96), 'crop_size': (SIDE, SIDE)})
    built = DATASETS.build(dict(dataset, _scope_='mmseg'))
    return pseudo_collate([built[i] for i in range(2)])
