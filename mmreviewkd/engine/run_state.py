"""The state that a run needs in addition to MMEngine's checkpoint to resume bit for bit."""

from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor

from mmreviewkd.utils.errors import CheckpointError
from mmreviewkd.utils.random import RANDOM_STATE_BYTES, get_random_state, is_random_state, set_random_state

from .resumable_loader import ResumableDataLoader

KEY = 'mmreviewkd_run_state'


def gather_run_state(runner: Runner, validated: bool) -> dict:
    """Gather the state of all processes of a run; all of them must call this function.

    Args:
        runner (Runner): The runner, at the end of an iteration or epoch.
        validated (bool): Whether a validation that is due has already run.

    Returns:
        dict: Tensors and plain Python values, the same on every process.
    """
    loader = runner.train_dataloader
    return dict(
        validated=validated, batches=len(loader), num_workers=loader.num_workers,
        passes=getattr(getattr(runner.train_loop, 'dataloader_iterator', None), '_epoch', 0),
        ranks=all_gather_object(_state_of_this_process(runner)))


def _state_of_this_process(runner: Runner) -> dict:
    loader = runner.train_dataloader
    state = dict(random=get_random_state(), position=None)
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    if isinstance(loader, ResumableDataLoader):
        state.update(position=loader.position, workers=loader.worker_states())
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapper) and wrapper.inner_count % wrapper._accumulative_counts:
        state['gradients'] = {
            name: parameter.grad.cpu() for name, parameter in runner.model.named_parameters()
            if parameter.grad is not None}
    return state


def check_run_state(state: Any, where: str) -> None:
    """Refuse what :func:`gather_run_state` cannot have returned.

    Args:
        state (Any): What a checkpoint holds.
        where (str): The argument and file, for the message.

    Raises:
        CheckpointError: If it is no state of a run.
    """
    counts = [state.get(key) for key in ('batches', 'num_workers', 'passes')] if isinstance(state, dict) else [None]
    if not (
            all(type(count) is int and count >= 0 for count in counts) and type(state.get('validated')) is bool
            and isinstance(state.get('ranks'), (list, tuple))
            and all(_is_state_of_a_process(rank, state['num_workers']) for rank in state['ranks'])):
        raise CheckpointError(f'{where} holds no valid state of a run under {KEY!r}, damaged or made to do harm')


def _is_state_of_a_process(state: Any, num_workers: int) -> bool:
    if not isinstance(state, dict) or not isinstance(state.get('random'), Tensor):
        return False
    position, gradients = state.get('position'), state.get('gradients', {})
    return (
        # An infinite sampler counts beyond the batches of an epoch.
        (position is None or (type(position) is int and position >= 0))
        and (state.get('cuda') is None or isinstance(state['cuda'], Tensor))
        and _are_random_states(state['random'], state.get('workers'), num_workers)
        and isinstance(gradients, dict) and all(isinstance(value, Tensor) for value in gradients.values()))


def _are_random_states(main: Tensor, workers: Any, num_workers: int) -> bool:
    if workers is not None and not (isinstance(workers, Tensor) and workers.dim() == 2 and len(workers) == num_workers):
        return False
    of_this_version = main.numel() == RANDOM_STATE_BYTES  # others are not restored, see CheckpointHook
    return not of_this_version or all(map(is_random_state, [main, *([] if workers is None else workers)]))


def restore_random_state(state: dict) -> None:
    """Restore the random generators of this process.

    Args:
        state (dict): One of the ``ranks`` of :func:`gather_run_state`.
    """
    if 'random' in state:
        set_random_state(state['random'])
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


def restore_gradients(runner: Runner, state: dict) -> None:
    """Restore the gradients accumulated so far.

    Args:
        runner (Runner): The runner, after its weights have been loaded.
        state (dict): One of the ``ranks`` of :func:`gather_run_state`.
    """
    for name, parameter in runner.model.named_parameters():
        if name in state.get('gradients', {}):
            parameter.grad = state['gradients'][name].to(parameter)


def restore_place(runner: Runner, state: dict, passes: int) -> None:
    """Continue the data loader and the loop after the batches of the epoch that were already trained with.

    Args:
        runner (Runner): The runner, at the start of the epoch it resumes.
        state (dict): One of the ``ranks`` of :func:`gather_run_state`.
        passes (int): Number of complete passes through the data, for an iteration-based loop.
    """
    loop, loader, position = runner.train_loop, runner.train_dataloader, state['position']
    if position is None or not isinstance(loader, ResumableDataLoader):
        return
    endless = getattr(loop, 'dataloader_iterator', None)
    if endless is not None:
        endless._epoch = passes
        for sampler in (loader.sampler, getattr(loader.batch_sampler, 'sampler', None)):
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(passes)
                break
        loader.resume(position, state['workers'], placeholders=loop.iter)
        return
    loader.resume(position, state['workers'])
    run_iter = loop.run_iter
    loop.run_iter = lambda index, batch: run_iter(index + position, batch)


def position_by_count(runner: Runner, batches: int | None) -> int | None:
    """Infer the position in the epoch from the counts of epochs and iterations.

    Args:
        runner (Runner): The runner, after its counts have been loaded.
        batches (int, optional): Length of an epoch when the checkpoint was written. Defaults to the length now.

    Returns:
        int or None: The number of batches of the epoch that were trained with. None for an iteration-based loop, which
        reads and discards them itself.
    """
    loop, length = runner.train_loop, len(runner.train_dataloader)
    if hasattr(loop, 'dataloader_iterator'):
        return None
    batches = batches or length
    done = min(max(loop.iter - loop.epoch * batches, 0), batches)
    return done * length // batches


def end_resumed_epoch(runner: Runner) -> None:
    """Undo what :func:`restore_place` changed in an epoch-based loop."""
    vars(runner.train_loop).pop('run_iter', None)


def run_pending_validation(runner: Runner) -> None:
    """Run the validation that was due when the checkpoint was written."""
    loop = runner.train_loop
    epoch_based = not hasattr(loop, 'dataloader_iterator')
    done, last = (loop.epoch, loop.max_epochs) if epoch_based else (loop.iter, loop.max_iters)
    loop._decide_current_val_interval()
    if runner.val_loop is not None and done >= loop.val_begin and (done % loop.val_interval == 0 or done == last):
        runner.val_loop.run()
