"""A data set wrapper that splits a data set into a part to train on and a held-out part."""

import copy
import random
from collections.abc import Sequence
from typing import Any

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from torch.utils.data import Dataset

from mmreviewkd.registry import DATASETS
from mmreviewkd.utils.checks import flag, number
from mmreviewkd.utils.errors import ConfigError, strict_keys


@DATASETS.register_module()
@strict_keys
class DatasetPart(Dataset):
    """One of two parts of a data set, chosen at random, but the same in every run.

    Args:
        dataset (dict): The config of the data set.
        share (float): The share of the held-out part, between 0 and 1.
        held_out (bool): Whether this is the held-out part, and not the rest.

    Raises:
        ConfigError: If a part would be empty.
    """

    def __init__(self, dataset: dict, share: float, held_out: bool) -> None:
        self.dataset = MMENGINE_DATASETS.build(dataset)
        number(share, 'DatasetPart: share', above=0)
        self.indices = split(range(len(self.dataset)), share)[flag(held_out, 'DatasetPart: held_out')]

    @property
    def metainfo(self) -> dict:
        """The data set's meta information, which the evaluators read."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the data set, for wrappers around this one."""
        self.dataset.full_init()

    def get_data_info(self, index: int) -> dict:
        """The annotations of an image, for wrappers around this one."""
        return self.dataset.get_data_info(self.indices[index])

    def get_cat_ids(self, index: int) -> list[int]:
        """The classes of an image, for wrappers around this one."""
        return self.dataset.get_cat_ids(self.indices[index])

    def get_subset(self, indices: Sequence[int]) -> 'DatasetPart':
        """A copy with some of the images, for wrappers around this one, such as mmpretrain's ``KFoldDataset``."""
        part = copy.copy(self)
        part.indices = [self.indices[index] for index in indices]
        return part

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]


def split(items: Sequence, share: float) -> tuple[list, list]:
    """Split items at random, but always alike.

    Args:
        items (Sequence): The items.
        share (float): The share of the second part.

    Returns:
        tuple[list, list]: Two parts, each in the order of the items.

    Raises:
        ConfigError: If a part would be empty.
    """
    held = set(random.Random(0).sample(range(len(items)), min(round(share * len(items)), len(items))))
    if not 0 < len(held) < len(items):
        raise ConfigError(f'a share of {share:g} of {len(items)} training images leaves none to train on or none to '
                          'validate on; choose another share')
    return [item for i, item in enumerate(items) if i not in held], [items[i] for i in sorted(held)]
