"""Split a config's training data into a part to train on and a held-out part to validate on."""

import copy
import json
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmreviewkd.engine.dataset_part import split
from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.errors import ConfigError

from .checks import VALIDATION, require_keys

_OWN = 'validate on data of your own choice with --own-validation'


def hold_out(cfg: Config, share: float, folder: Path) -> None:
    """Make a config train on one part of its training data and validate on the rest, by its own validation pipeline.

    Which images are held out depends on the number of images only, so every training of a search holds out the same
    ones. Annotations in COCO's format are split into two files, which COCO's evaluator needs; any other data set is
    wrapped in a :class:`~mmreviewkd.engine.dataset_part.DatasetPart`. The data set may itself be within wrappers
    (``RepeatDataset``, ``MultiImageMixDataset``, ...).

    Args:
        cfg (Config): The config; changed in place.
        share (float): The share of the images to hold out, between 0 and 1.
        folder (Path): The folder for split annotation files.

    Raises:
        ConfigError: If there is no validation pipeline, or the training data cannot be split.
    """
    require_keys(cfg, VALIDATION, 'needed to evaluate on held-out images')
    outer, training = _innermost(cfg.train_dataloader, 'train_dataloader')
    _, validation = _innermost(cfg.val_dataloader, 'val_dataloader')
    validation = ConfigDict(dict(copy.deepcopy(training), pipeline=validation.get('pipeline', [])))
    file = Path(training.get('data_root') or '', training.get('ann_file') or '')
    if file.suffix == '.json':
        _split_annotations(file, share, folder, training, validation)
        validation.pop('filter_cfg', None)
        evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]
        for evaluator in evaluators:
            if 'ann_file' in evaluator:
                evaluator.ann_file = validation.ann_file
        cfg.val_dataloader.dataset = validation
        return
    outer.dataset = dict(type='mmreviewkd.DatasetPart', dataset=training, share=share, held_out=False)
    cfg.val_dataloader.dataset = dict(type='mmreviewkd.DatasetPart', dataset=validation, share=share, held_out=True)


def _innermost(loader: ConfigDict, key: str) -> tuple[ConfigDict, ConfigDict]:
    """The data set within all wrappers, and the dict that holds it as `dataset`."""
    outer = loader
    while isinstance(outer.dataset.get('dataset'), dict):
        outer = outer.dataset
    if outer.dataset.get('datasets'):
        raise ConfigError(
            f'{key}.dataset joins several data sets ({outer.dataset["type"]}), which are not split; {_OWN}')
    return outer, outer.dataset


def _split_annotations(
        file: Path, share: float, folder: Path, training: ConfigDict, validation: ConfigDict) -> None:
    try:
        whole = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ConfigError(f'train_dataloader.dataset.ann_file: {str(file)!r} cannot be read: {error}') from error
    if not isinstance(whole, dict) or not {'images', 'annotations'} <= set(whole):
        raise ConfigError(f"train_dataloader.dataset.ann_file: {str(file)!r} is not in COCO's format, without `images` "
                          f'and `annotations`; {_OWN}')
    for dataset, name, images in zip(
            (training, validation), ('train', 'held_out'), split(whole['images'], share)):
        ids = {image['id'] for image in images}
        part = dict(whole, images=images, annotations=[a for a in whole['annotations'] if a['image_id'] in ids])
        path = (folder / f'{name}.json').absolute()
        save_atomically(lambda path, part=part: Path(path).write_text(json.dumps(part), encoding='utf-8'), path)
        dataset.ann_file = str(path)
    validation.test_mode = True
