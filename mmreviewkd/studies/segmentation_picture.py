"""Draw the semantic maps that several segmentors predict for the same scenes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import PixelData

from mmreviewkd.utils.checkpoint import guard_checkpoint_loading

from .output import draw_grid

_SCALE = 4


def draw_segmentations(
        segmentors: Mapping[str, tuple[str | Path, str | Path]], dataset: str | Path, file: str | Path,
        scenes: int = 5) -> None:
    """Draw a grid of test scenes: a row for each, columns for the scene, its true map and that of each segmentor.

    Args:
        segmentors (Mapping): mmsegmentation config file and checkpoint of each segmentor, by the title of its column.
        dataset (str or Path): The config file whose ``test_dataloader`` provides the scenes.
        file (str or Path): The image file to write.
        scenes (int): Number of scenes, from the first one. Defaults to 5.
    """
    from mmengine.config import Config
    from mmseg.apis import inference_model, init_model
    from mmseg.registry import DATASETS
    from mmseg.utils import register_all_modules
    register_all_modules()
    guard_checkpoint_loading()

    data = DATASETS.build(Config.fromfile(dataset).test_dataloader.dataset)
    items = [data[i] for i in range(scenes)]
    images = [item['inputs'].flip(0).permute(1, 2, 0).contiguous().numpy() for item in items]
    columns = {
        'scene': [image.repeat(_SCALE, 0).repeat(_SCALE, 1) for image in images],
        'ground truth': [
            _drawn(image, item['data_samples'].gt_sem_seg, data.metainfo) for image, item in zip(images, items)]}
    for name, (config, checkpoint) in segmentors.items():
        segmentor = init_model(str(config), str(checkpoint), device='cpu')
        found = [inference_model(segmentor, np.ascontiguousarray(image[..., ::-1])) for image in images]
        columns[name] = [
            _drawn(image, sample.pred_sem_seg, data.metainfo) for image, sample in zip(images, found)]
    draw_grid(columns, Path(file))


def _drawn(image: np.ndarray, classes: PixelData, metainfo: dict) -> np.ndarray:
    """Enlarge an image ``[h, w, 3]`` and its map of classes, and draw them with mmsegmentation's visualizer."""
    from mmseg.structures import SegDataSample
    from mmseg.visualization import SegLocalVisualizer
    large = SegDataSample()
    large.pred_sem_seg = PixelData(data=torch.as_tensor(classes.data).repeat_interleave(_SCALE, 1).repeat_interleave(
        _SCALE, 2))
    visualizer = SegLocalVisualizer(alpha=0.6)
    visualizer.dataset_meta = metainfo
    visualizer.add_datasample(
        'scene', image.repeat(_SCALE, 0).repeat(_SCALE, 1), large, draw_gt=False, with_labels=False)
    return visualizer.get_image()
