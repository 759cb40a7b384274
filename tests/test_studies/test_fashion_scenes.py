import errno
import hashlib
import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmreviewkd.studies.fashion_scenes import compose_scene, make_fashion_scenes
from mmreviewkd.utils.errors import CheckpointError, ConfigError

rle = pytest.importorskip('pycocotools.mask')


def _write_idx(path, array):
    header = struct.pack(f'>HBB{array.ndim}I', 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


def _garments(rng, count, low, high):
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 4:24, 8:20] = rng.integers(low, high, (count, 20, 12))
    return images


@pytest.fixture(scope='module')
def raw_dir(tmp_path_factory):
    """Raw files of Fashion-MNIST's format: garments of the training classes 0 to 4, of the test classes 5 to 9."""
    folder, rng = tmp_path_factory.mktemp('raw'), np.random.default_rng(0)
    for prefix, first in (('train', 0), ('t10k', 5)):
        _write_idx(folder / f'{prefix}-images-idx3-ubyte', _garments(rng, 50, 60, 255))
        _write_idx(folder / f'{prefix}-labels-idx1-ubyte', np.arange(50, dtype=np.uint8) % 5 + first)
    return folder


def _digest(folder):
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob('*')) if p.is_file()}


def test_same_seed_same_bytes(raw_dir, tmp_path):
    for name, seed in (('a', 3), ('b', 3), ('c', 4)):
        assert make_fashion_scenes(tmp_path / name, raw_dir, 6, 4, seed)
    a, b, c = (_digest(tmp_path / name) for name in 'abc')
    assert a == b
    assert len(a) == 2 * (6 + 4 + 4) + 4  # images and semantic maps of three splits, their annotations and the marker
    assert all(a[name] != c[name] for name in a)


def test_more_scenes_leave_the_first_ones_as_they_were(raw_dir, tmp_path):
    make_fashion_scenes(tmp_path / 'few', raw_dir, 3, 2)
    make_fashion_scenes(tmp_path / 'many', raw_dir, 5, 4)
    few, many = _digest(tmp_path / 'few'), _digest(tmp_path / 'many')
    assert all(many[name] == few[name] for name in few if name.endswith('.png'))


def test_splits_come_from_their_own_images(raw_dir, tmp_path):
    make_fashion_scenes(tmp_path / 'scenes', raw_dir, 10, 10)
    for split, classes in (('train', {1, 2, 3, 4, 5}), ('test', {6, 7, 8, 9, 10})):
        coco = json.loads((tmp_path / f'scenes/annotations/{split}.json').read_text())
        assert {a['category_id'] for a in coco['annotations']} == classes


def test_validation_scenes_share_no_garment_with_training_scenes(tmp_path):
    garments = _garments(np.random.default_rng(0), 60, 60, 255)
    for prefix in ('train', 't10k'):
        _write_idx(tmp_path / f'{prefix}-images-idx3-ubyte', garments)
        _write_idx(tmp_path / f'{prefix}-labels-idx1-ubyte', np.repeat(np.arange(6, dtype=np.uint8), 10))
    make_fashion_scenes(tmp_path / 'scenes', tmp_path, 10, 10)
    seen = {}
    for split in ('train', 'val'):
        coco = json.loads((tmp_path / f'scenes/annotations/{split}.json').read_text())
        seen[split] = {a['category_id'] for a in coco['annotations']}
    assert seen == {'train': {1, 2, 3, 4, 5}, 'val': {6}}


def test_annotations_are_the_visible_parts(raw_dir, tmp_path):
    make_fashion_scenes(tmp_path / 'scenes', raw_dir, 30, 1)
    coco = json.loads((tmp_path / 'scenes/annotations/train.json').read_text())
    sizes = set()
    for image in coco['images']:
        size = image['height'], image['width']
        assert size[0] != size[1]
        sizes.add(size)
        assert cv2.imread(str(tmp_path / 'scenes/train' / image['file_name'])).shape == (*size, 3)
        covered = np.zeros(size, int)
        for annotation in (a for a in coco['annotations'] if a['image_id'] == image['id']):
            mask = rle.decode(annotation['segmentation'])
            covered += mask
            rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
            assert annotation['bbox'] == [
                columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
            assert annotation['area'] == mask.sum() > 0
        assert covered.max() == 1
    assert len(sizes) > 10


def test_semantic_maps_have_the_class_of_each_visible_part(raw_dir, tmp_path):
    make_fashion_scenes(tmp_path / 'scenes', raw_dir, 5, 1)
    coco = json.loads((tmp_path / 'scenes/annotations/train.json').read_text())
    for image in coco['images']:
        expected = np.zeros((image['height'], image['width']), np.uint8)
        for annotation in (a for a in coco['annotations'] if a['image_id'] == image['id']):
            expected += annotation['category_id'] * rle.decode(annotation['segmentation'])
        found = cv2.imread(str(tmp_path / 'scenes/semantic/train' / image['file_name']), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found, expected)
        assert len(np.unique(found)) > 1


def test_scenes_of_an_earlier_layout_are_made_again(raw_dir, tmp_path):
    make_fashion_scenes(tmp_path / 'scenes', raw_dir, 3, 2)
    before, marker = _digest(tmp_path / 'scenes'), tmp_path / 'scenes' / 'scenes.json'
    marker.write_text(json.dumps({**json.loads(marker.read_text()), 'version': 2}))
    assert make_fashion_scenes(tmp_path / 'scenes', raw_dir, 3, 2)
    assert _digest(tmp_path / 'scenes') == before


def test_garments_overlap_but_stay_visible():
    rng = np.random.default_rng(0)
    images, labels = _garments(rng, 20, 200, 255), np.arange(20) % 10
    scenes = [compose_scene(rng, images, labels) for _ in range(40)]
    shares = [g['mask'].sum() / g['area'] for _, garments in scenes for g in garments]
    assert min(shares) >= 0.6
    assert sum(share < 1 for share in shares) > 10


def test_a_finished_folder_is_not_remade_and_a_partial_one_is(raw_dir, tmp_path):
    folder = tmp_path / 'scenes'
    make_fashion_scenes(folder, raw_dir, 3, 2)
    before = _digest(folder)
    assert not make_fashion_scenes(folder, raw_dir, 3, 2)
    for missing in ('scenes.json', 'train/000001.png', 'annotations/test.json'):
        (folder / missing).unlink()
        assert make_fashion_scenes(folder, raw_dir, 3, 2)
        assert _digest(folder) == before
    assert [p.name for p in tmp_path.iterdir()] == ['scenes']


@pytest.mark.parametrize('name', ['train/000001.png', 'annotations/test.json', 'scenes.json'])
def test_a_damaged_file_is_named_and_the_scenes_are_made_again(raw_dir, tmp_path, name, capsys):
    make_fashion_scenes(tmp_path / 'scenes', raw_dir, 3, 2)
    before, path = _digest(tmp_path / 'scenes'), tmp_path / 'scenes' / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xff
    path.write_bytes(content)
    assert make_fashion_scenes(tmp_path / 'scenes', raw_dir, 3, 2)
    assert _digest(tmp_path / 'scenes') == before
    assert name in ''.join(capsys.readouterr()) or name == 'scenes.json'


def test_an_interrupted_run_leaves_nothing_in_the_place(raw_dir, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr('mmreviewkd.studies.fashion_scenes.json.dumps', interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_fashion_scenes(tmp_path / 'scenes', raw_dir, 3, 2)
    assert not (tmp_path / 'scenes').exists()
    assert make_fashion_scenes(tmp_path / 'scenes', raw_dir, 3, 2)
    assert not (tmp_path / 'scenes.partial').exists()


def test_existing_files_are_never_overwritten(raw_dir, tmp_path):
    make_fashion_scenes(tmp_path / 'scenes', raw_dir, 3, 2)
    with pytest.raises(ConfigError, match=r"contains scenes made from .*'seed': 0.*not from .*'seed': 1"):
        make_fashion_scenes(tmp_path / 'scenes', raw_dir, 3, 2, seed=1)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/thesis.tex').touch()
    with pytest.raises(ConfigError, match='contains no fashion scenes'):
        make_fashion_scenes(tmp_path / 'mine', raw_dir, 3, 2)


def test_bad_arguments_are_named(raw_dir, tmp_path):
    with pytest.raises(ConfigError, match='need at least one scene'):
        make_fashion_scenes(tmp_path / 'scenes', raw_dir, 0, 2)
    with pytest.raises(ConfigError, match='lacks train-images'):
        make_fashion_scenes(tmp_path / 'scenes', tmp_path, 3, 2)


def test_a_full_disk_is_one_message_and_leaves_nothing(raw_dir, tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(CheckpointError, match=r"^cannot write '.*/scenes': No space left .* MiB free"):
        make_fashion_scenes(tmp_path / 'scenes', raw_dir, 3, 2)
    assert not [*tmp_path.iterdir()]
