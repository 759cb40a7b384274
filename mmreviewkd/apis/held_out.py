"""Split a config's training data into a part to train on and a held-out part to validate on."""

import copy
import inspect
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, DefaultScope

from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.config_errors import build_errors_named
from mmreviewkd.utils.errors import ConfigError

from .checks import VALIDATION, require_keys

_OWN = 'validate on data of your own choice with --own-validation'


def hold_out(cfg: Config, share: float, folder: Path) -> None:
    """Make a config train on one part of its training data and validate on the rest, by its own validation pipeline.

    Which images are held out depends on the number of images only, so every training of a search holds out the same
    ones. Annotations in COCO's format are split into two files; of any other data set of MMEngine the images are
    selected by ``indices``. The data set may be wrapped (``RepeatDataset``, ``MultiImageMixDataset``, ...).

    Args:
        cfg (Config): The config; changed in place.
        share (float): The share of the images to hold out, between 0 and 1.
        folder (Path): The folder for split annotation files.

    Raises:
        ConfigError: If there is no validation pipeline, or the training data cannot be split.
    """
    require_keys(cfg, VALIDATION, 'needed to evaluate on held-out images')
    training = _innermost(cfg.train_dataloader.dataset)
    validation = copy.deepcopy(training)
    validation.pipeline = _innermost(cfg.val_dataloader.dataset).get('pipeline', [])
    for key in ('filter_cfg', 'indices'):
        validation.pop(key, None)
    split = _split_annotations if _coco_annotations(training) else _split_indices
    split(cfg, training, validation, _chooser(share), folder)
    cfg.val_dataloader.dataset = validation


def _innermost(dataset: ConfigDict) -> ConfigDict:
    while isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    if dataset.get('datasets'):
        raise ConfigError(
            f'train_dataloader.dataset joins several data sets ({dataset["type"]}), which cannot be split; {_OWN}')
    return dataset


def _chooser(share: float) -> Callable[[Sequence], tuple[list, list]]:
    def choose(items: Sequence) -> tuple[list, list]:
        """The kept and the held-out items, in their order."""
        held = set(random.Random(0).sample(range(len(items)), round(share * len(items))))
        if not 0 < len(held) < len(items):
            raise ConfigError(f'--held-out {share:g} of {len(items)} training images leaves none to train or to '
                              f'validate on; choose another share, or {_OWN}')
        return ([item for i, item in enumerate(items) if i not in held], [items[i] for i in sorted(held)])
    return choose


def _coco_annotations(dataset: ConfigDict) -> Path | None:
    file = Path(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    return file if file.suffix == '.json' else None


def _split_annotations(
        cfg: Config, training: ConfigDict, validation: ConfigDict, choose: Callable, folder: Path) -> None:
    file = _coco_annotations(training)
    try:
        whole = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f'train_dataloader.dataset.ann_file: {str(file)!r} cannot be read: {error}') from error
    if not isinstance(whole, dict) or not {'images', 'annotations'} <= set(whole):
        raise ConfigError(f"train_dataloader.dataset.ann_file: {str(file)!r} is not in COCO's format, without `images` "
                          f'and `annotations`; {_OWN}')
    parts = dict(zip(('train', 'held_out'), choose(whole['images'])))
    files = {name: str((folder / f'{name}.json').absolute()) for name in parts}
    for name, images in parts.items():
        ids = {image['id'] for image in images}
        part = dict(whole, images=images, annotations=[a for a in whole['annotations'] if a['image_id'] in ids])
        save_atomically(lambda path, part=part: Path(path).write_text(json.dumps(part)), Path(files[name]))
    training.ann_file = files['train']
    validation.update(ann_file=files['held_out'], test_mode=True)
    evaluators = cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]
    for evaluator in evaluators:
        if 'ann_file' in evaluator:
            evaluator.ann_file = files['held_out']


def _split_indices(
        cfg: Config, training: ConfigDict, validation: ConfigDict, choose: Callable, folder: Path) -> None:
    scope = cfg.get('default_scope') or 'mmengine'
    with DefaultScope.overwrite_default_scope(scope):
        with DATASETS.switch_scope_and_registry(None) as registry:
            kind = training['type']
            cls = registry.get(kind) if isinstance(kind, str) else kind
        if inspect.isclass(cls) and not _takes_indices(cls):
            raise ConfigError(f'train_dataloader.dataset: {cls.__name__} takes no `indices`, by which it could be '
                              f'split; {_OWN}')
        with build_errors_named('train_dataloader.dataset', everything=True):
            images = len(DATASETS.build({**training, 'pipeline': [], 'indices': None}))
    kept = training.get('indices')
    if kept is None:
        kept = range(images)
    elif isinstance(kept, int):
        kept = range(images)[:kept] if kept >= 0 else range(images)[kept:]
    training.indices, validation.indices = choose(kept)


def _takes_indices(cls: type) -> bool:
    return any('indices' in inspect.signature(base.__init__).parameters for base in cls.__mro__[:-1])
