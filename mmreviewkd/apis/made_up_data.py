"""Made-up images with labels, boxes and masks, for training pipelines whose images are not on this machine."""

import contextlib
import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset

from mmreviewkd.utils.config_values import found_values

_IMAGES = 8
_OBJECTS = 3
# Height and width of the files, and side of the images of data sets that keep them in arrays, by their number of
# channels: those of MNIST and of CIFAR.
_FILE_SIZE, _ARRAY_SIDES = (480, 640), {1: 28, 3: 32}
#: The sizes ``(H, W)`` of made-up images before any transform.
SOURCE_SIZES = (_FILE_SIZE, *((side, side) for side in _ARRAY_SIDES.values()))


class MadeUpDataset(BaseDataset):
    """A data set of given items, each with an image, a label, and objects.

    Args:
        items (Sequence[dict]): The items that the data set passes to its pipeline.
        pipeline (Sequence): The transforms of the data set that it replaces.
        metainfo (dict, optional): Class names and the like. Defaults to None.
    """

    def __init__(self, items: Sequence[dict], pipeline: Sequence, metainfo: dict | None = None) -> None:
        self._items = items
        super().__init__(metainfo=metainfo, serialize_data=False, pipeline=pipeline)

    def load_data_list(self) -> list[dict]:
        """The items."""
        return copy.deepcopy(list(self._items))

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the label of an item, which class-balanced data sets need."""
        return [self.get_data_info(idx)['gt_label']]


@contextlib.contextmanager
def made_up_data(loader: ConfigDict, model: ConfigDict, batch_size: int) -> Iterator[ConfigDict]:
    """Replace the data set of a data loader by a made-up one with the same pipeline.

    Args:
        loader (ConfigDict): The config of the data loader.
        model (ConfigDict): The config of the student, which tells the number of classes and image channels.
        batch_size (int): Images per batch; two batches are made up.

    Yields:
        ConfigDict: The config of the data loader on made-up data, whose files exist while the block runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        loader = copy.deepcopy(loader)
        loader.dataset = _replaced(loader.dataset, _items(Path(folder), model, 2 * batch_size))
        yield loader


def _replaced(dataset: ConfigDict, items: list[dict]) -> ConfigDict:
    """The data set, or inside of wrappers the innermost one, replaced by made-up items."""
    if 'dataset' in dataset:
        return ConfigDict({**dataset, 'dataset': _replaced(dataset['dataset'], items)})
    if isinstance(dataset.get('datasets'), list):
        return ConfigDict({**dataset, 'datasets': [_replaced(part, items) for part in dataset['datasets']]})
    pipeline = dataset.get('pipeline', [])
    if not any('LoadImage' in str(step.get('type')) for step in pipeline):
        items = [dict(item, img=_as_array(item)) for item in items]
    return ConfigDict(type=MadeUpDataset, items=items, pipeline=pipeline, metainfo=dataset.get('metainfo'))


def _as_array(item: dict) -> np.ndarray:
    side = _ARRAY_SIDES[1 if item['channels'] == 1 else 3]
    image = cv2.resize(cv2.imread(item['img_path']), (side, side))
    return image[..., 0] if item['channels'] == 1 else image


def _items(folder: Path, model: ConfigDict, count: int) -> list[dict]:
    rng = np.random.default_rng(0)
    classes = min(found_values(model, 'num_classes') + found_values(model, 'num_things_classes'), default=1)
    channels = len(next(iter(found_values(model, 'mean')), None) or (0, 0, 0))
    height, width = _FILE_SIZE
    items = []
    for number in range(_IMAGES):
        coarse = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        path = folder / f'{number}.jpg'
        cv2.imwrite(str(path), cv2.resize(coarse, (width, height)))
        instances, segments = [], np.zeros((height, width, 3), np.uint8)
        for i in range(_OBJECTS):
            w, h = (int(side) for side in rng.integers(height // 6, height // 2, 2))
            x, y = int(rng.integers(width - w)), int(rng.integers(height - h))
            segments[y:y + h, x:x + w, 2] = i + 1  # OpenCV writes BGR; the identifier is the red channel
            instances.append(dict(
                bbox=[x, y, x + w, y + h], bbox_label=int(rng.integers(classes)), ignore_flag=0,
                mask=[[x, y, x + w, y, x + w, y + h, x, y + h]]))
        cv2.imwrite(str(path.with_suffix('.png')), segments)
        items.append(dict(
            img_path=str(path), img_id=number, height=height, width=width, channels=channels,
            gt_label=int(rng.integers(classes)), instances=instances, seg_map_path=str(path.with_suffix('.png')),
            segments_info=[
                dict(id=i, category=instance['bbox_label'], is_thing=True) for i, instance in enumerate(instances, 1)]))
    return [items[i % _IMAGES] for i in range(count)]
