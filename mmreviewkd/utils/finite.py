"""Check that a model's weights are finite."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from .errors import CheckpointError


def check_finite(model: nn.Module, where: str) -> None:
    """Refuse a model whose weights or statistics are not finite.

    Parameters and the running statistics of normalization layers must be finite. Other buffers, such as attention
    masks, may hold infinities but no NaN. The device is read once.

    Args:
        model (nn.Module): The model.
        where (str): The source of the weights, for the message.

    Raises:
        CheckpointError: If any tensors are not finite; the message counts and names them.
    """
    names, found = [], []
    for name, tensor, may_be_infinite in _floating(model):
        names.append(name)
        found.append(tensor.isnan().any() if may_be_infinite else ~tensor.isfinite().all())
    if not found:
        return
    bad = [name for name, is_bad in zip(names, torch.stack([f.to(found[0].device) for f in found]).tolist()) if is_bad]
    if bad:
        raise CheckpointError(
            f'{where}: {len(bad)} of {len(names)} tensors of {type(model).__name__} hold NaN or infinity '
            f'({", ".join(bad[:3])}{", ..." if len(bad) > 3 else ""})')


@torch.no_grad()
def _floating(model: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    for name, parameter in model.named_parameters():
        yield name, parameter.detach(), False
    for prefix, module in model.named_modules():
        for name, buffer in module.named_buffers(prefix=prefix, recurse=False):
            if buffer.is_floating_point():
                yield name, buffer, not isinstance(module, _NormBase)
