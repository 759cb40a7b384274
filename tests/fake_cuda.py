"""A CUDA device without a GPU: shapes, types and devices are computed, values are not.

On fake tensors (``torch._subclasses.FakeTensorMode``) an operation with operands on several devices and every wait of
the host for a value (``.item()``, ``.cpu()``, ``nonzero``) raise an error. The autograd engine runs CUDA gradients on
streams, which do not exist without a GPU; :func:`gradients` therefore calls the nodes of the graph itself.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode

try:
    from torch._subclasses.fake_tensor import unset_fake_temporarily
except ImportError:
    pytest.skip('torch 2.1 has no unset_fake_temporarily', allow_module_level=True)

CUDA = torch.device('cuda', 0)


@contextlib.contextmanager
def fake_cuda() -> Iterator[FakeTensorMode]:
    """Within the block tensors are fake, and ``'cuda'`` is a device."""
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode() as mode:
        patch.setattr(Tensor, 'cpu', _waits)
        patch.setattr(Tensor, 'tolist', _waits)
        patch.setattr(torch.cuda, 'synchronize', _waits)
        patch.setattr(torch, 'linspace', _linspace(torch.linspace))
        patch.setattr(torch.random, 'fork_rng', lambda *_, **__: contextlib.nullcontext())
        patch.setattr(torch, 'manual_seed', lambda seed: None)
        patch.setattr(torch.cuda.amp.common, 'amp_definitely_not_available', lambda: False)
        patch.setattr(torch.cuda, 'is_bf16_supported', lambda *_, **__: True)
        patch.setattr(torch.autograd, 'grad', gradients)
        patch.setattr('mmreviewkd.models.connectors.fast_level.is_plain_parameter', lambda p: type(p) is FakeTensor)
        patch.setattr(torch._C, '_current_graph_task_id', lambda: 0)  # as within one backward pass of the engine
        patch.setattr(nn.Module, '_apply', _apply)
        patch.setattr(FakeTensorMode, '__deepcopy__', lambda mode, memo: mode, raising=False)
        patch.setattr(FakeTensor, '__deepcopy__', _deep_copy, raising=False)
        yield mode


def _waits(*_: object, **__: object) -> None:
    raise AssertionError('the host waits for the device')


def _linspace(function: Callable) -> Callable:
    """``torch.linspace``; an array where no device is named, as networks read numbers from it while they are built."""
    def linspace(*arguments: object, **settings: object) -> Tensor | np.ndarray:
        if 'device' in settings:
            return function(*arguments, **settings)
        with unset_fake_temporarily():
            return function(*arguments, **settings).numpy()

    return linspace


def _apply(module: nn.Module, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """``nn.Module._apply`` with new parameters, as fake ones cannot be changed in place."""
    for child in module.children():
        child._apply(fn)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(fn(parameter.detach()), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = fn(buffer)
    return module


def _deep_copy(tensor: Tensor, memo: dict) -> Tensor:
    copied = tensor.detach().clone().requires_grad_(tensor.requires_grad)
    memo[id(tensor)] = nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied
    return memo[id(tensor)]


def gradients(
        outputs: Sequence[Tensor], inputs: Sequence[Tensor], grad_outputs: Sequence[Tensor] | None = None,
        allow_unused: bool = False) -> tuple[Tensor | None, ...]:
    """``torch.autograd.grad`` by calls of the backward functions; checks device, shape and type of every gradient."""
    if grad_outputs is None:
        grad_outputs = [torch.ones_like(output) for output in outputs]
    found: dict[int, Tensor] = {}
    arrived: dict[object, dict[int, Tensor]] = {}
    for output, grad in zip(outputs, grad_outputs):
        if output.grad_fn is None:
            found[id(output)] = grad
            continue
        _add(arrived.setdefault(output.grad_fn, {}), output.output_nr, grad)
    _run(arrived, found)
    results = tuple(found.get(id(tensor)) for tensor in inputs)
    assert allow_unused or all(result is not None for result in results), 'an input has no gradient'
    return results


def backward(losses: list[Tensor]) -> None:
    """The backward pass of the loss in a list, which is emptied, so that what a node has used is freed after it."""
    loss = losses.pop()
    arrived = {loss.grad_fn: {loss.output_nr: torch.ones_like(loss)}}
    del loss
    with torch.no_grad():
        _run(arrived, {})


def _run(arrived: dict[object, dict[int, Tensor]], found: dict[int, Tensor]) -> None:
    """Call the nodes of a graph in order, from gradients that have arrived; keeps none that was called."""
    uses = _uses([*arrived])
    ready = [node for node in arrived if not uses[node]]
    while ready:
        node = ready.pop()
        edges, grads = _edges(node), _called(node, arrived.pop(node, {}), found)
        uses.pop(node, None)
        node = None
        assert len(edges) == len(grads)
        while edges:
            (child, index), grad = edges.pop(0), grads.pop(0)
            if grad is not None:
                _add(arrived.setdefault(child, {}), index, grad)
            uses[child] -= 1
            if not uses[child]:
                ready.append(child)
            child = grad = None


def _uses(roots: Sequence[object]) -> Counter:
    """How many nodes of the graph pass a gradient to each node."""
    uses, seen, pending = Counter(), set(roots), list(dict.fromkeys(roots))
    while pending:
        for child, _ in pending.pop().next_functions:
            if child is not None:
                uses[child] += 1
                if child not in seen:
                    seen.add(child)
                    pending.append(child)
    return uses


def _called(node: object, grads: dict[int, Tensor], found: dict[int, Tensor]) -> list[Tensor | None]:
    """The gradients that a node returns; those of leaves are added to ``found``."""
    nothing = [None] * len(_edges(node))
    if not grads:
        return nothing
    for index, grad in grads.items():
        expected = node._input_metadata[index]
        assert grad.device == expected.device, f'{node.name()}: {grad.device}, not {expected.device}'
        # As the engine does: sums over broadcast dimensions, and casts.
        grads[index] = grad.sum_to_size(tuple(expected.shape)).to(expected.dtype)
    if hasattr(node, 'variable'):
        _add(found, id(node.variable), grads[0])
        return nothing
    arguments = [grads.get(i) for i in range(len(node._input_metadata))]
    written_in_python = hasattr(node, 'needs_input_grad')
    returned = node.apply(*arguments) if written_in_python else node(*arguments)
    returned = returned if isinstance(returned, tuple) else (returned,)
    # A function written in Python returns a gradient for each argument, tensor or not.
    wanted = node.needs_input_grad if written_in_python else [child is not None for child, _ in node.next_functions]
    return [grad for grad, needed in zip(returned, wanted, strict=True) if needed]


def _edges(node: object) -> list[tuple[object, int]]:
    """The nodes to which a node passes gradients, and the index of each among the gradients of that node."""
    return [(child, index) for child, index in node.next_functions if child is not None]


def _add(grads: dict, key: object, grad: Tensor) -> None:
    grads[key] = grads[key] + grad if key in grads else grad
