"""Count the bytes that autograd keeps for the backward pass."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def bytes_kept(step: Callable[[], Any], parameters: Iterable[Tensor] = ()) -> tuple[int, Any]:
    """Count the bytes that autograd saves in a forward pass for the backward pass, each storage once.

    Args:
        step (Callable): Runs the forward pass.
        parameters (Iterable[Tensor]): Tensors whose storages are not counted. Defaults to ().

    Returns:
        tuple[int, Any]: The bytes, and what the step returned.
    """
    ignored = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    kept = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ignored:
            kept[storage.data_ptr()] = storage  # a reference, so that no other tensor is allocated at its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = step()
    return sum(storage.nbytes() for storage in kept.values()), result
