"""The first batch of a training: images that are damaged, and images that are not there."""

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from PIL import Image

from mmreviewkd.apis.first_batch import first_batch
from mmreviewkd.utils import ConfigError


@pytest.fixture
def folder(tmp_path):
    for kind in ('cat', 'dog'):
        (tmp_path / kind).mkdir()
        for number in range(2):
            Image.new('RGB', (20, 10)).save(tmp_path / kind / f'{number}.png')
    return tmp_path


def batch(folder, backend, **dataset):
    init_default_scope('mmpretrain')
    dataset = dict(
        type='CustomDataset', data_root=str(folder), **dataset,
        pipeline=[dict(type='LoadImageFromFile', imdecode_backend=backend), dict(type='PackInputs')])
    cfg = Config(dict(train_dataloader=dict(
        batch_size=4, num_workers=2, dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False))))
    preprocessor = dict(mean=[0.0] * 3, std=[1.0] * 3)
    model = dict(type='ImageClassifier', head=dict(num_classes=2), data_preprocessor=preprocessor)
    return first_batch(cfg, ConfigDict(model))


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_a_damaged_image_is_named(folder, backend):
    assert len(batch(folder, backend).data['inputs']) == 4
    (folder / 'dog' / '1.png').write_bytes(b'no image')
    with pytest.raises(ConfigError, match=r"^train_dataloader: '.*dog/1.png' cannot be loaded: "):
        batch(folder, backend)


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_images_that_are_not_there_are_made_up(folder, backend):
    (folder / 'listed.txt').write_text('absent.png 0\n')
    found = batch(folder, backend, ann_file='listed.txt')
    assert 'absent.png' in found.missing and len(found.data['inputs'])
