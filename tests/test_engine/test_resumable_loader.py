"""A data loader that continues in the middle of an epoch."""

import itertools
import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmreviewkd.engine.resumable_loader import ResumableDataLoader


class Noisy(Dataset):
    """Images with random augmentation; notes which of them were read in this process."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 10

    def __getitem__(self, index):
        self.read.append(index)
        return index + torch.rand(())


def resumable(num_workers=0, resuming=False, persistent=False):
    loader = DataLoader(Noisy(), batch_size=2, num_workers=num_workers, persistent_workers=persistent)
    return ResumableDataLoader.adopt(loader, resuming)


def test_batches_already_trained_with_are_skipped_without_reading_them_in_one_epoch_only():
    loader = resumable(resuming=True)
    loader.resume(3, None)
    assert len(list(loader)) == 2
    assert loader.dataset.read == [6, 7, 8, 9]
    assert len(list(loader)) == len(loader) == 5


def test_the_position_counts_the_batches_of_this_epoch():
    loader = resumable(resuming=True)
    loader.resume(3, None)
    assert [loader.position for _ in loader] == [4, 5]
    assert loader.position == 0
    assert [loader.position for _ in loader] == [1, 2, 3, 4, 5]


def test_an_iteration_based_loop_discards_placeholders_instead_of_batches():
    loader = resumable(resuming=True)
    loader.resume(4, None, placeholders=7)
    batches = list(loader)
    assert batches[:7] == [None] * 7
    assert len(batches) == 8 and batches[7].int().tolist() == [8, 9]


@pytest.mark.parametrize('position', [2, 3])
def test_workers_augment_the_rest_of_an_epoch_as_without_the_interruption(position):
    torch.manual_seed(0)
    whole = resumable(num_workers=2)
    batches = iter(whole)
    list(itertools.islice(batches, position))
    states = whole.worker_states().clone()
    rest = list(batches)

    torch.manual_seed(1)
    resumed = resumable(num_workers=2, resuming=True)
    resumed.resume(position, states)
    assert torch.equal(torch.stack(list(resumed)), torch.stack(rest))


@pytest.mark.parametrize('restarted', [(False, False), (True, True), (False, True)])
def test_persistent_workers_go_on_after_an_epoch_also_if_a_hook_restarts_them(restarted):
    def batches(loader, restart):
        if restart:  # as mmpretrain's SwitchRecipeHook does; mmdet's hooks do so again when a run resumes
            loader._iterator = None
        return iter(loader)

    torch.manual_seed(0)
    whole = resumable(num_workers=2, persistent=True)
    first = torch.stack(list(whole))
    states = whole.worker_states().clone()
    second = batches(whole, restarted[0])
    expected = [next(second)]
    within = whole.worker_states().clone()
    expected += list(second)
    drawn = torch.rand(())
    assert not torch.equal(torch.stack(expected), first)

    torch.manual_seed(0)
    torch.empty((), dtype=torch.int64).random_()  # the workers' seed
    resumed = resumable(num_workers=2, resuming=True, persistent=True)
    resumed.continue_workers(states)
    assert torch.equal(resumed.worker_states(), states)  # for a checkpoint after a validation that was due
    assert torch.equal(torch.stack(list(batches(resumed, restarted[1]))), torch.stack(expected))
    assert torch.rand(()) == drawn

    resumed = resumable(num_workers=2, resuming=True, persistent=True)
    resumed.resume(1, within)
    assert torch.equal(torch.stack(list(resumed)), torch.stack(expected[1:]))


@pytest.mark.parametrize('epoch', [0, 1])
def test_states_after_the_first_batch_are_those_of_this_epoch_also_of_a_worker_that_starts_late(epoch):
    def late(worker):
        time.sleep(0.3 * worker)

    torch.manual_seed(0)
    loader = DataLoader(Noisy(), batch_size=2, num_workers=2, worker_init_fn=late)
    whole = ResumableDataLoader.adopt(loader, resuming=False)
    for _ in range(epoch):
        list(whole)
    batches = iter(whole)
    next(batches)
    states = whole.worker_states()
    rest = torch.stack(list(batches))
    resumed = resumable(num_workers=2, resuming=True)
    resumed.resume(1, states)
    assert torch.equal(torch.stack(list(resumed)), rest)
