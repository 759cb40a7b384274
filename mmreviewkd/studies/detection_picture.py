"""Draw the detections of several detectors in the same scenes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import InstanceData

from mmreviewkd.utils.checkpoint import guard_checkpoint_loading
from mmreviewkd.utils.random import preserved_random_state

from .output import draw_grid

_SCALE = 4


def draw_detections(
        detectors: Mapping[str, tuple[str | Path, str | Path]], dataset: str | Path, file: str | Path,
        scenes: int = 5, score: float = 0.3) -> None:
    """Draw a grid of test scenes with one row for each scene, a column of ground truth and one for each detector.

    Args:
        detectors (Mapping): mmdet config file and checkpoint of each detector, by the title of its column.
        dataset (str or Path): The config file whose ``test_dataloader`` provides the scenes.
        file (str or Path): The image file to write.
        scenes (int): Number of scenes, from the first one. Defaults to 5.
        score (float): Minimum score of a detection. Defaults to 0.3.
    """
    from mmdet.apis import inference_detector, init_detector
    from mmdet.registry import DATASETS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    register_all_modules()
    guard_checkpoint_loading()

    data = DATASETS.build(Config.fromfile(dataset).test_dataloader.dataset)
    images, columns = [], {'ground truth': []}
    for i in range(scenes):
        item = data[i]
        images.append(item['inputs'].flip(0).permute(1, 2, 0).contiguous().numpy())
        truth = item['data_samples'].gt_instances
        columns['ground truth'].append(InstanceData(
            bboxes=truth.bboxes.tensor, labels=truth.labels, masks=torch.as_tensor(truth.masks.masks)))
    for name, (config, checkpoint) in detectors.items():
        detector = init_detector(str(config), str(checkpoint), device='cpu')
        columns[name] = []
        for image in images:
            found = inference_detector(detector, np.ascontiguousarray(image[..., ::-1])).pred_instances
            columns[name].append(found[found.scores >= score])

    draw_grid(
        {name: [_drawn(image, instances, data.metainfo) for image, instances in zip(images, found)]
         for name, found in columns.items()}, Path(file))


def _drawn(image: np.ndarray, instances: InstanceData, metainfo: dict) -> np.ndarray:
    """Enlarge an image ``[h, w, 3]`` and draw its instances with mmdet's visualizer."""
    from matplotlib import colormaps
    from mmdet.structures import DetDataSample
    from mmdet.visualization import DetLocalVisualizer
    large = InstanceData(bboxes=instances.bboxes * _SCALE, labels=instances.labels)
    if 'masks' in instances:
        large.masks = instances.masks.bool().repeat_interleave(_SCALE, 1).repeat_interleave(_SCALE, 2)
    large.scores = instances.scores if 'scores' in instances else torch.ones(len(instances))
    visualizer = DetLocalVisualizer()
    colors = colormaps['tab10'].colors
    palette = [tuple(int(255 * value) for value in colors[i % 10]) for i in range(len(metainfo['classes']))]
    visualizer.dataset_meta = {**metainfo, 'palette': palette}
    with preserved_random_state():
        np.random.seed(0)  # mmdet draws masks in random variations of their colours
        visualizer.add_datasample(
            'scene', np.ascontiguousarray(image.repeat(_SCALE, 0).repeat(_SCALE, 1)),
            DetDataSample(pred_instances=large), draw_gt=False, pred_score_thr=0)
    return visualizer.get_image()
