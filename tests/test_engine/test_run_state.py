"""The parts of a run's state, each restored on its own."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch.utils.data import DataLoader

from mmreviewkd.engine.run_state import (
    check_run_state,
    gather_run_state,
    position_by_count,
    restore_gradients,
    restore_random_state,
    run_pending_validation,
)
from mmreviewkd.utils import CheckpointError
from mmreviewkd.utils.random import RANDOM_STATE_BYTES, get_random_state


def run(accumulative_counts=1, **loop):
    """What these functions read of a runner, with a real model, optimizer and data loader of 10 batches."""
    model = torch.nn.Linear(3, 2)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=accumulative_counts)
    return SimpleNamespace(
        model=model, optim_wrapper=wrapper, train_dataloader=DataLoader(range(10)), train_loop=SimpleNamespace(**loop))


def step(runner):
    runner.optim_wrapper.initialize_count_status(runner.model, 0, 10)
    runner.optim_wrapper.update_params(runner.model(torch.ones(1, 3)).square().sum())


def test_random_numbers_continue_from_the_gathered_state():
    state = gather_run_state(run(), validated=False)['ranks'][0]
    expected = torch.rand(3)
    restore_random_state(state)
    assert torch.equal(torch.rand(3), expected)


def test_accumulated_gradients_are_restored():
    saved, resumed = run(accumulative_counts=2), run(accumulative_counts=2)
    step(saved)
    restore_gradients(resumed, gather_run_state(saved, validated=False)['ranks'][0])
    assert saved.model.weight.grad.abs().sum() > 0
    assert torch.equal(resumed.model.weight.grad, saved.model.weight.grad)


def test_gradients_that_were_used_are_not_saved():
    saved = run(accumulative_counts=1)
    step(saved)
    assert 'gradients' not in gather_run_state(saved, validated=False)['ranks'][0]


@pytest.mark.parametrize('iterations, epochs, batches, position', [
    (23, 2, None, 3), (20, 2, None, 0), (50, 2, 20, 5), (15, 2, None, 0), (99, 2, None, 10),
])
def test_the_position_in_the_epoch_follows_from_the_counts_and_scales_with_its_length(
        iterations, epochs, batches, position):
    assert position_by_count(run(iter=iterations, epoch=epochs), batches) == position


@pytest.mark.parametrize('epoch, due', [(1, False), (2, False), (3, False), (4, True), (7, True)])
def test_a_validation_is_run_only_where_the_loop_would_have_run_it(epoch, due):
    calls = []
    runner = run(
        epoch=epoch, max_epochs=7, val_begin=3, val_interval=2, _decide_current_val_interval=lambda: None)
    runner.val_loop = SimpleNamespace(run=lambda: calls.append(epoch))
    run_pending_validation(runner)
    assert bool(calls) == due


def test_a_gathered_state_is_valid_and_others_are_refused():
    check_run_state(gather_run_state(run(), validated=True), '--resume')
    for key, value in (
            ('validated', 1), ('batches', -1), ('batches', '10'), ('passes', None), ('ranks', 5), ('ranks', [5])):
        with pytest.raises(CheckpointError, match='--resume holds no valid state of a run'):
            check_run_state({**gather_run_state(run(), validated=True), key: value}, '--resume')
    for key, value in (
            ('random', None), ('random', torch.zeros(RANDOM_STATE_BYTES, dtype=torch.uint8)),
            ('position', -1), ('position', 1.0), ('workers', 'x'), ('gradients', [1]),
            ('gradients', {'weight': 1})):
        state = gather_run_state(run(), validated=True)
        state['ranks'][0][key] = value
        with pytest.raises(CheckpointError, match='--resume holds no valid state of a run'):
            check_run_state(state, '--resume')
    with pytest.raises(CheckpointError, match='--resume holds no valid state of a run'):
        check_run_state(None, '--resume')


def test_states_that_workers_never_wrote_are_refused_and_the_generators_stay_as_they_are():
    state = gather_run_state(run(), validated=True)
    state['num_workers'] = 2
    written = torch.stack([get_random_state(), get_random_state()])
    expected = torch.rand(2)
    restore_random_state(state['ranks'][0])
    state['ranks'][0]['workers'] = written
    check_run_state(state, '--resume')
    for workers in (torch.zeros_like(written), written[:1], written[0], written[:, 1:]):
        state['ranks'][0]['workers'] = workers
        with pytest.raises(CheckpointError, match='--resume holds no valid state of a run'):
            check_run_state(state, '--resume')
    assert torch.equal(torch.rand(2), expected)
