"""Check that the teacher sees images normalized as in its training, where a pipeline normalizes them."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from mmreviewkd.utils.config import load_config, model_config, type_name
from mmreviewkd.utils.errors import ConfigError

_LOADERS = 'test_dataloader', 'val_dataloader', 'train_dataloader'


def check_normalization(cfg: Config) -> None:
    """Refuse a distillation in which the pipelines of student and teacher normalize images differently.

    The teacher sees the images of the student's pipeline, converted from the student's ``data_preprocessor`` to its
    own. What a ``Normalize`` in a pipeline does, it cannot know.

    Args:
        cfg (Config): The config of the distillation.

    Raises:
        ConfigError: If the teacher would see images that are normalized in another way than those of its training.
    """
    teacher = cfg.model.get('teacher')
    if not isinstance(teacher, Mapping) or not isinstance(teacher.get('model'), (str, Mapping)):
        return
    own, other, reference = _normalize(cfg.get('train_dataloader')), None, teacher['model']
    if isinstance(reference, str):
        config = load_config(reference, 'teacher.model')
        other = next(filter(None, (_normalize(config.get(loader)) for loader in _LOADERS)), None)
    if own == other:
        return
    if other is not None:
        raise ConfigError(
            f'teacher.model: the pipeline of {reference!r} normalizes images ({_named(other)}), but the teacher sees '
            f"those of the student's pipeline, which {'does it differently' if own else 'does not'}; give mean and std "
            "to the data_preprocessor of the teacher's config instead")
    if (model_config(reference, 'teacher.model').get('data_preprocessor') or {}).get('mean') is not None:
        raise ConfigError(
            f"train_dataloader: the student's pipeline normalizes images ({_named(own)}), and the teacher's "
            'data_preprocessor would do it again; give mean and std to the data_preprocessor of the student instead')


def _normalize(config: Any) -> dict | None:
    """The settings of the first ``Normalize`` in a data loader's config."""
    found = next(_transforms(config), None)
    return found and {
        'mean': _floats(found.get('mean')), 'std': _floats(found.get('std')), 'to_rgb': found.get('to_rgb', True)}


def _floats(values: Any) -> list[float]:
    return [float(value) for value in (values if isinstance(values, (list, tuple)) else [values or 0])]


def _transforms(config: Any) -> Iterator[Mapping]:
    if isinstance(config, Mapping):
        if str(type_name(config.get('type'))).rpartition('/')[2] == 'Normalize':
            yield config
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for item in config:
            yield from _transforms(item)


def _named(settings: dict) -> str:
    return f'mean {settings["mean"]}, std {settings["std"]}'
