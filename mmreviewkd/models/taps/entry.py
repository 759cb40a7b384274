"""The calls by which a model computes its features."""

from mmengine.model import BaseModel
from torch import Tensor, nn

from .model_inputs import as_accepted, takes_metas


def entries_of(model: nn.Module) -> list[str]:
    """List the calls by which a model may compute its features, the shortest first.

    Args:
        model (nn.Module): An MMEngine ``BaseModel``, or any module that is called with its images.

    Returns:
        list[str]: 'extract_feat', which stops before the head; 'tensor', ``forward(inputs, data_samples,
        mode='tensor')`` of a ``BaseModel``, or 'call', ``model(inputs)`` of any other module; 'student.extract_feat' of
        a semi-supervised model, whose own ``extract_feat`` may run its mean teacher.
    """
    found = ['extract_feat'] if hasattr(model, 'extract_feat') else []
    found.append('tensor' if isinstance(model, BaseModel) else 'call')
    if hasattr(getattr(model, 'student', None), 'extract_feat'):
        found.append('student.extract_feat')
    return found


def run_entry(model: nn.Module, inputs: Tensor, data_samples: list | None, entry: str) -> None:
    """Run a model by one of :func:`entries_of`, so that its taps can be recorded.

    Args:
        model (nn.Module): The model.
        inputs (Tensor): The batch, ``[N, C, H, W]``, or what else the model accepts, such as mmdet3d's dict.
        data_samples (list, optional): Its data samples, for 'tensor' and for an ``extract_feat`` that takes the
            images' metadata, too.
        entry (str): The call.
    """
    inputs = as_accepted(model, inputs)
    if entry == 'tensor':
        model(inputs, data_samples, mode='tensor')
    elif entry == 'call':
        model(inputs)
    elif entry == 'extract_feat':
        metas = [[sample.metainfo for sample in data_samples or ()]] if takes_metas(type(model)) else []
        model.extract_feat(inputs, *metas)
    else:
        model.student.extract_feat(inputs)
