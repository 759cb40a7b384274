"""Errors in a data pipeline name the sample."""

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, Compose, ConcatDataset, RepeatDataset, pseudo_collate

from mmreviewkd.engine.named_samples import name_samples
from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.errors import in_one_line


def failing(data):
    return {**data, 'image': np.load(data['img_path'])}


class Files(BaseDataset):
    """Samples that are files, all of them missing."""

    def load_data_list(self):
        return [dict(img_path=f'/absent/{i}.npy') for i in range(2)]


def files():
    dataset = Files(pipeline=[])
    dataset.pipeline = Compose([failing])
    return dataset


@pytest.mark.parametrize('wrap', [
    lambda dataset: dataset, lambda dataset: RepeatDataset(dataset, 2), lambda dataset: ConcatDataset([dataset]),
], ids=['itself', 'repeated', 'concatenated'])
@pytest.mark.parametrize('workers', [0, 1])
def test_the_sample_and_the_data_loader_are_named(wrap, workers):
    dataset = wrap(files())
    name_samples(dataset, 'val_dataloader')
    loader = torch.utils.data.DataLoader(dataset, num_workers=workers, collate_fn=pseudo_collate)
    iterator = iter(loader)
    with pytest.raises(ConfigError) as raised:
        next(iterator)
    if workers:
        iterator._shutdown_workers()  # the garbage collector would wait for it
    assert in_one_line(raised.value).startswith(
        "val_dataloader: '/absent/0.npy' cannot be loaded: FileNotFoundError: [Errno 2] No such file or directory")
    assert '\n' not in in_one_line(raised.value)


def test_a_sample_without_a_file_is_named_by_its_number():
    dataset = files()
    dataset.pipeline = Compose([lambda data: data['label']])
    name_samples(dataset, 'train_dataloader')
    with pytest.raises(ConfigError, match=r'^train_dataloader: sample 7 cannot be loaded: KeyError: label \('):
        dataset.pipeline(dict(sample_idx=7))


def test_a_pipeline_that_works_gives_the_same():
    dataset = files()
    dataset.pipeline = Compose([lambda data: {**data, 'label': 1}])
    expected = dataset[1]
    name_samples(dataset, 'train_dataloader')
    assert dataset[1] == expected == dict(img_path='/absent/1.npy', sample_idx=1, label=1)
