"""Held-out images are training images, and no longer trained on."""

import json

import pytest
from conftest import small_run
from mmengine.config import Config
from mmengine.registry import DATASETS

from mmreviewkd.apis.held_out import hold_out
from mmreviewkd.utils import ConfigError


def test_held_out_images_are_training_images_and_no_longer_trained_on(fashion_mnist, tmp_path):
    cfg = small_run('resnet8.py', fashion_mnist)
    cfg.train_dataloader.dataset.indices = 200
    whole = DATASETS.build(cfg.train_dataloader.dataset)
    hold_out(cfg, 0.1, tmp_path)
    kept, held = (DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.val_dataloader))
    assert (len(kept), len(held)) == (180, 20)
    images = [[part.get_data_info(i)['img'].tobytes() for i in range(len(part))] for part in (kept, held, whole)]
    assert sorted(images[0] + images[1]) == sorted(images[2])
    assert held.metainfo == whole.metainfo
    assert [step.type for step in cfg.val_dataloader.dataset.dataset.pipeline] == ['PackInputs']


def test_a_wrapped_data_set_is_split_within_its_wrapper(fashion_mnist, tmp_path):
    cfg = small_run('resnet8.py', fashion_mnist)
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=3, dataset=cfg.train_dataloader.dataset)
    hold_out(cfg, 0.25, tmp_path)
    repeated = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(repeated) == 3 * 288 and repeated[0]['data_samples'].gt_label == repeated[288]['data_samples'].gt_label
    assert len(DATASETS.build(cfg.val_dataloader.dataset)) == 96


def coco(folder, **dataset):
    """A wrapped data set of ten images with two boxes each."""
    annotations = dict(
        categories=[dict(id=1, name='a')], images=[dict(id=10 + i, file_name=f'{i}.png') for i in range(10)],
        annotations=[dict(id=i, image_id=10 + i // 2, category_id=1) for i in range(20)])
    (folder / 'train.json').write_text(json.dumps(annotations))
    inner = dict(
        type='CocoDataset', data_root=f'{folder}/', ann_file='train.json', data_prefix=dict(img='train/'),
        pipeline=[dict(type='A')], filter_cfg=dict(min_size=32), **dataset)
    return Config(dict(
        train_dataloader=dict(dataset=dict(type='RepeatDataset', times=3, dataset=inner)),
        val_dataloader=dict(dataset=dict(type='CocoDataset', ann_file='val.json', pipeline=[dict(type='B')])),
        val_cfg={}, val_evaluator=dict(type='CocoMetric', ann_file='val.json', metric='bbox')))


def test_annotations_of_coco_are_split(tmp_path):
    cfg = coco(tmp_path)
    hold_out(cfg, 0.3, tmp_path / 'split')
    train, val = cfg.train_dataloader.dataset.dataset, cfg.val_dataloader.dataset
    parts = [json.loads((tmp_path / 'split' / f'{name}.json').read_text()) for name in ('train', 'held_out')]
    assert [train.ann_file, val.ann_file] == [str(tmp_path / 'split' / f'{n}.json') for n in ('train', 'held_out')]
    ids = [{image['id'] for image in part['images']} for part in parts]
    assert len(ids[1]) == 3 and ids[0] | ids[1] == set(range(10, 20)) and not ids[0] & ids[1]
    for part, own in zip(parts, ids):
        assert len(part['annotations']) == 2 * len(own) and {a['image_id'] for a in part['annotations']} == own
    assert cfg.val_evaluator.ann_file == val.ann_file and cfg.train_dataloader.dataset.times == 3
    assert val.test_mode and val.data_prefix.img == 'train/' and val.pipeline[0].type == 'B' and 'filter_cfg' not in val


@pytest.mark.parametrize(('change', 'message'), [
    (lambda cfg: cfg.train_dataloader.dataset.dataset.update(datasets=[{}]), 'joins several data sets'),
    (lambda cfg: cfg.train_dataloader.dataset.dataset.update(ann_file='no.json'), r'no\.json.* cannot be read'),
    (lambda cfg: cfg.train_dataloader.dataset.dataset.update(ann_file='list.json'), "is not in COCO's format"),
    (lambda cfg: cfg.pop('val_evaluator'), 'has no `val_evaluator`')])
def test_data_that_cannot_be_split_are_named(change, message, tmp_path):
    cfg = coco(tmp_path)
    (tmp_path / 'list.json').write_text('[]')
    change(cfg)
    with pytest.raises(ConfigError, match=message):
        hold_out(cfg, 0.3, tmp_path)


def test_a_share_too_small_for_an_image_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r'a share of 0\.01 of 10 training images'):
        hold_out(coco(tmp_path), 0.01, tmp_path)
