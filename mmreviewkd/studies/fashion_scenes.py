"""Generate a data set of scenes of several garments of Fashion-MNIST: boxes and masks as COCO, and semantic maps."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from mmreviewkd.utils.errors import ConfigError
from mmreviewkd.utils.files import cannot_write

CLASSES = (
    'T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot')

_TRAIN_FILES = ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte')
_RAW_FILES = {
    'train': _TRAIN_FILES,
    'test': ('t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'),
    'val': _TRAIN_FILES,
}
_VALIDATION_SHARE = 6  # the last sixth of the training images: 10,000 of 60,000
_SIDES = range(72, 97, 4)  # pixels; height and width of a scene differ
_GARMENTS = range(4, 9)  # per scene
_SCALES = (0.8, 1.4)  # of the 28x28 garment
_DARKEST = 32  # minimum grey value of a garment's pixels
_SMALLEST = 64  # minimum pixels of a garment
_LEAST_VISIBLE = 0.6  # minimum visible share of a garment
_MARKER = 'scenes.json'
_VERSION = 3  # of the files' layout; the semantic maps came with 3
_SEMANTIC = 'semantic'


def make_fashion_scenes(
        out_dir: str | Path, raw_dir: str | Path, train_scenes: int = 4800, test_scenes: int = 300,
        seed: int = 0) -> bool:
    """Write a data set for detection, instance and semantic segmentation; equal arguments give equal bytes.

    Training scenes contain the first 50,000 training images of Fashion-MNIST only, validation scenes the last 10,000
    only, test scenes test images only. The folder is written beside its place and then moved there, so it is never
    incomplete. ::

        out_dir/{train,val,test}/000000.png ...
        out_dir/annotations/{train,val,test}.json      COCO format, the visible part of each garment as compressed RLE
        out_dir/semantic/{train,val,test}/000000.png ...   the class of each pixel, see :func:`semantic_map`
        out_dir/scenes.json                            the arguments

    Args:
        out_dir (str or Path): The folder to write.
        raw_dir (str or Path): The folder with Fashion-MNIST's four extracted files.
        train_scenes (int): Number of training scenes. Defaults to 4800.
        test_scenes (int): Number of test scenes, and of validation scenes. Defaults to 300.
        seed (int): Random seed. Scene ``i`` of a split does not depend on the number of scenes. Defaults to 0.

    Returns:
        bool: False if the folder already existed, complete and with the same arguments.

    Raises:
        CheckpointError: If the disk is full; no partial folder stays.
        ConfigError: If raw files are missing, an argument is out of range, or ``out_dir`` contains scenes of other
            arguments, or other files.
    """
    out_dir, raw_dir = Path(out_dir), Path(raw_dir)
    made_from = dict(
        version=_VERSION, train_scenes=train_scenes, val_scenes=test_scenes, test_scenes=test_scenes, seed=seed)
    if min(train_scenes, test_scenes) < 1 or seed < 0:
        raise ConfigError(f'fashion scenes: need at least one scene for each split and a seed >= 0, got {made_from}')
    if _is_finished(out_dir, made_from):
        return False

    partial = out_dir.with_name(f'{out_dir.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for folder in ('annotations', *(f'{_SEMANTIC}/{split}' for split in _RAW_FILES)):
            (partial / folder).mkdir(parents=True)
        for split in _RAW_FILES:
            images, labels = _read_raw(raw_dir, split)
            _write_split(partial, split, made_from[f'{split}_scenes'], images, labels, seed)
        marker = json.dumps(dict(**made_from, sha256=_checksums(partial)), indent=2) + '\n'
        (partial / _MARKER).write_text(marker, encoding='utf-8')
        shutil.rmtree(out_dir, ignore_errors=True)
        os.replace(partial, out_dir)
    except OSError as error:
        raise cannot_write(out_dir, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def compose_scene(rng: Generator, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[dict]]:
    """Compose a scene of randomly scaled, tinted and mirrored garments that may overlap, on a textured background.

    Args:
        rng (Generator): The random generator.
        images (np.ndarray): Grey garments on black, ``[count, 28, 28]`` uint8.
        labels (np.ndarray): Their classes, ``[count]``.

    Returns:
        tuple: The scene, ``[height, width, 3]`` uint8 in RGB, and a dict for each garment with its class ``label``, the
        ``mask`` of its visible pixels, ``[height, width]`` bool, and its ``area`` in pixels, including hidden ones.
    """
    height, width = rng.choice(_SIDES, 2, replace=False)
    scene = _background(rng, height, width)
    garments = []
    for index in rng.integers(len(images), size=rng.choice(_GARMENTS)):
        scale = rng.uniform(*_SCALES)
        grey = cv2.resize(images[index], None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        grey = grey[:, ::-1] if rng.random() < 0.5 else grey
        top, left = rng.integers(height - grey.shape[0] + 1), rng.integers(width - grey.shape[1] + 1)
        window = slice(top, top + grey.shape[0]), slice(left, left + grey.shape[1])
        tint = rng.uniform(0.4, 1.0, 3)
        shape = np.zeros((height, width), bool)
        shape[window] = cv2.morphologyEx((grey > _DARKEST).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5)))
        covers_too_much = any((g['mask'] & ~shape).sum() < _LEAST_VISIBLE * g['area'] for g in garments)
        if covers_too_much or shape.sum() < _SMALLEST:
            continue
        for garment in garments:
            garment['mask'] &= ~shape
        scene[shape] = (50 + 0.8 * grey[shape[window], None]) * tint
        garments.append(dict(label=int(labels[index]), mask=shape, area=shape.sum()))
    noise = rng.normal(0, 4, scene.shape)
    return np.clip(scene + noise, 0, 255).astype(np.uint8), garments


def semantic_map(garments: Sequence[dict], height: int, width: int) -> np.ndarray:
    """The class of each pixel of a scene: 0 for the background, 1 to 10 for a garment of :data:`CLASSES`.

    Args:
        garments (Sequence[dict]): The garments, as :func:`compose_scene` returns them.
        height (int): The height of the scene in pixels.
        width (int): Its width.

    Returns:
        np.ndarray: ``[height, width]`` uint8.
    """
    classes = np.zeros((height, width), np.uint8)
    for garment in garments:
        classes[garment['mask']] = garment['label'] + 1
    return classes


def _background(rng: Generator, height: int, width: int) -> np.ndarray:
    """Blend two colours by smooth noise and stripes: ``[height, width, 3]`` float."""
    blend = np.zeros((height, width))
    for cells, strength in ((4, 0.6), (16, 0.4)):
        coarse = rng.random((cells, cells))
        blend += strength * cv2.resize(coarse, (int(width), int(height)), interpolation=cv2.INTER_LINEAR)
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 24)
    y, x = np.mgrid[:height, :width]
    blend += rng.uniform(0, 0.3) * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    first, second = rng.uniform(0, 200, (2, 3))
    return first + np.clip(blend, 0, 1)[..., None] * (second - first)


def _write_split(
        folder: Path, split: str, count: int, images: np.ndarray, labels: np.ndarray, seed: int) -> None:
    from pycocotools import mask as rle

    (folder / split).mkdir()
    coco = dict(
        info=dict(description=f'Fashion-MNIST scenes, {split}'), images=[], annotations=[],
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)])
    for i in range(count):
        rng = np.random.default_rng([seed, list(_RAW_FILES).index(split), i])
        scene, garments = compose_scene(rng, images, labels)
        name = f'{i:06}.png'
        _write_png(folder / split / name, scene[..., ::-1])
        _write_png(folder / _SEMANTIC / split / name, semantic_map(garments, *scene.shape[:2]))
        coco['images'].append(dict(id=i, file_name=name, height=scene.shape[0], width=scene.shape[1]))
        for garment in garments:
            encoded = rle.encode(np.asfortranarray(garment['mask'], np.uint8))
            coco['annotations'].append(dict(
                id=len(coco['annotations']) + 1, image_id=i, category_id=garment['label'] + 1, iscrowd=0,
                bbox=rle.toBbox(encoded).tolist(), area=int(rle.area(encoded)),
                segmentation=dict(size=encoded['size'], counts=encoded['counts'].decode())))
    (folder / 'annotations' / f'{split}.json').write_text(json.dumps(coco), encoding='utf-8')


def _write_png(path: Path, image: np.ndarray) -> None:
    path.write_bytes(cv2.imencode('.png', image)[1])  # unlike imwrite, raises an error on a full disk


def _is_finished(out_dir: Path, made_from: dict) -> bool:
    """Whether the folder is complete and undamaged; raises an error if it was not written by the same arguments."""
    if not out_dir.exists():
        return False
    entries = {path.name for path in out_dir.iterdir()}
    if not entries <= {*_RAW_FILES, 'annotations', _SEMANTIC, _MARKER}:
        raise ConfigError(f'{out_dir} is not empty and contains no fashion scenes: remove it or name another folder')
    try:
        found = json.loads((out_dir / _MARKER).read_text(encoding='utf-8'))
        checksums = found.pop('sha256')
    except (FileNotFoundError, KeyError, ValueError, AttributeError, TypeError):
        return False  # interrupted or damaged: to be made again
    if found.get('version') != _VERSION and {**found, 'version': _VERSION} == made_from:
        return False  # the same scenes, in the layout of an earlier version: to be made again
    if found != made_from:
        raise ConfigError(
            f'{out_dir} contains scenes made from {found}, not from {made_from}: remove it or name another folder')
    actual = _checksums(out_dir)
    damaged = [name for name, checksum in checksums.items() if actual.get(name) != checksum]
    if damaged:
        print(
            f'{out_dir}: {len(damaged)} files are missing or damaged ({", ".join(damaged[:3])}); the scenes are made '
            'again', file=sys.stderr)
    return not damaged


def _checksums(folder: Path) -> dict[str, str]:
    folders = *_RAW_FILES, 'annotations', *(f'{_SEMANTIC}/{split}' for split in _RAW_FILES)
    files = sorted(path for name in folders for path in (folder / name).glob('*'))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _read_raw(raw_dir: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    for name in _RAW_FILES[split]:
        if not (raw_dir / name).is_file():
            raise ConfigError(f'{raw_dir} lacks {name}, one of the four files of Fashion-MNIST')
    images, labels = (
        np.fromfile(raw_dir / name, np.uint8, offset=header) for name, header in zip(_RAW_FILES[split], (16, 8)))
    first = len(labels) - len(labels) // _VALIDATION_SHARE
    part = {'train': slice(first), 'val': slice(first, None), 'test': slice(None)}[split]
    return images.reshape(-1, 28, 28)[part], labels[part]
