"""Find the modules of a model whose outputs pass no gradient in training."""

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from mmreviewkd.utils.random import preserved_random_state

from .entry import run_entry
from .probe import blank_images, sample_of
from .tap_path import without_keys

_IMAGES = 2  # batch normalization needs more than one value per channel


def without_gradient(model: nn.Module, entry: str, image: tuple[int, int, int] | None = None) -> dict[str, str]:
    """Run a copy of a model in training mode, and find the modules from whose outputs nothing can be learned.

    Args:
        model (nn.Module): The model.
        entry (str): The call of the model, one of :func:`~mmreviewkd.models.taps.entry.entries_of`.
        image (tuple[int, int, int], optional): ``(C, H, W)`` of images that the model accepts, for models that accept
            none of the usual ones. Defaults to None.

    Returns:
        dict[str, str]: The reason by the name of the module, of modules that ran on a blank image.
    """
    furthest, reasons = 0, {}
    with preserved_random_state(), torch.enable_grad():
        model = copy.deepcopy(model)
        model.train()
        seen: dict[str, str] = {}
        for name, module in model.named_modules():
            module.register_forward_hook(_noting(name, seen))
        for blank in itertools.chain(blank_images(model), blank_images(model, image) if image else ()):
            seen.clear()
            try:
                run_entry(model, blank.expand(_IMAGES, -1, -1, -1), [sample_of(blank)] * _IMAGES, entry)
                finished = True
            except Exception:  # any error raised by the model's code means that it does not accept this image
                finished = False
            if len(seen) > furthest:
                furthest, reasons = len(seen), {name: reason for name, reason in seen.items() if reason}
            if finished:
                break
    return reasons


def _noting(name: str, seen: dict[str, str]) -> Callable:
    def note(module: nn.Module, args: tuple, output: object) -> None:
        learning = [len(tensor) for tensor in _tensors(output) if tensor.requires_grad and tensor.dim()]
        if not torch.is_grad_enabled():
            seen[name] = 'runs without autograd in training'
        elif not learning:
            seen[name] = 'no trainable parameter comes before it'
        else:
            seen[name] = '' if _IMAGES in learning else 'gives other than one map per image in training'

    return note


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, Mapping)):
        for item in without_keys(value):
            yield from _tensors(item)
