"""Name the sample that a data pipeline fails on."""

from typing import Any

from mmengine.dataset import Compose
from torch.utils.data import Dataset

from mmreviewkd.utils.errors import ConfigError, described


class NamingCompose(Compose):
    """MMEngine's ``Compose`` with errors that name the data loader and the sample."""

    where = 'the pipeline'

    def __call__(self, data: dict) -> dict | None:
        """Apply the transforms.

        Raises:
            ConfigError: If a transform fails, as on a damaged image.
        """
        sample = _name(data)
        try:
            return super().__call__(data)
        except ConfigError:
            raise
        except Exception as error:  # a transform may raise any error
            raise ConfigError(f'{self.where}: {sample} cannot be loaded: {described(error)}') from error


def name_samples(dataset: Dataset, where: str) -> None:
    """Make errors in the pipeline of a data set, and of those that it wraps, name the sample.

    Args:
        dataset (Dataset): The data set; other pipelines than MMEngine's ``Compose`` stay as they are.
        where (str): The config key of the data loader, for messages.
    """
    pipeline = getattr(dataset, 'pipeline', None)
    if type(pipeline) is Compose:
        pipeline.__class__, pipeline.where = NamingCompose, where
    wrapped = [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or [])]
    for part in wrapped:
        if isinstance(part, Dataset):
            name_samples(part, where)


def _name(data: Any) -> str:
    data = data if isinstance(data, dict) else {}
    return repr(data['img_path']) if data.get('img_path') else f'sample {data.get("sample_idx", "of unknown number")}'
