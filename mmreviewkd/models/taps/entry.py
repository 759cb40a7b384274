"""The calls by which a model computes its features."""

from mmengine.model import BaseModel
from torch import Tensor, nn

#: The calls by which features are computed: ``extract_feat(inputs)``, which stops before the head;
#: ``forward(inputs, data_samples, mode='tensor')`` of a ``BaseModel``; and ``model(inputs)`` of any other module.
ENTRIES = ('extract_feat', 'tensor', 'call')


def entries_of(model: nn.Module) -> tuple[str, ...]:
    """The calls that a model may have, the most likely one first.

    Args:
        model (nn.Module): An MMEngine ``BaseModel``, or any other module that is called with its images.

    Returns:
        tuple[str, ...]: Some of :data:`ENTRIES`.
    """
    whole = 'tensor' if isinstance(model, BaseModel) else 'call'
    return ('extract_feat', whole) if hasattr(model, 'extract_feat') else (whole,)


def run_entry(model: nn.Module, inputs: Tensor, data_samples: list | None, entry: str) -> None:
    """Run a model by one of its calls, so that its taps can be recorded.

    Args:
        model (nn.Module): The model.
        inputs (Tensor): The batch, ``[N, C, H, W]``.
        data_samples (list, optional): Its data samples, which only ``'tensor'`` takes.
        entry (str): One of :data:`ENTRIES`.
    """
    if entry == 'extract_feat':
        model.extract_feat(inputs)
    elif entry == 'tensor':
        model(inputs, data_samples, mode='tensor')
    else:
        model(inputs)
