"""Data in the formats of Cityscapes and ADE20K for tests."""

import cv2
import numpy as np
import pytest

# Without mmsegmentation, its dependencies or mmcv's ops, the tests that use this are skipped.
pytest.importorskip('mmcv.ops')
pytest.importorskip('mmseg.models')


def write_cityscapes(folder, size=(96, 160)):
    """Two images of one town in each split, in whose maps each of the 19 classes and the ignored label occur."""
    for split, town in (('train', 'aachen'), ('val', 'frankfurt')):
        for number in range(2):
            name = f'{town}_{number:06}_000019'
            image, classes = _scene(size, [*range(19), 255], number)
            _write(folder / 'leftImg8bit' / split / town / f'{name}_leftImg8bit.png', image)
            _write(folder / 'gtFine' / split / town / f'{name}_gtFine_labelTrainIds.png', classes)


def write_ade20k(folder, size=(96, 160)):
    """Two images in each split; in the maps 0 is no class, and 1 to 150 are the classes."""
    for split in ('training', 'validation'):
        for number in range(2):
            image, classes = _scene(size, [0, 1, 2, 75, 150], number)
            name = f'ADE_{split}_{number:08}'
            _write(folder / 'images' / split / f'{name}.jpg', image)
            _write(folder / 'annotations' / split / f'{name}.png', classes)


def _scene(size, labels, seed):
    """Noise, and a map of blocks of the given labels."""
    rng = np.random.default_rng(seed)
    rows = -(-len(labels) // 5)
    blocks = np.resize(np.array(labels, np.uint8), (rows, 5))
    classes = cv2.resize(blocks, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8), classes


def _write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
