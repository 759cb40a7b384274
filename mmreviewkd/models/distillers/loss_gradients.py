"""The gradient norms of several losses of one forward pass."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def gradient_norms(
        losses: Mapping[str, Tensor], parameters: Iterable[nn.Parameter], scale: float = 1.0) -> dict[str, Tensor]:
    """Compute the gradient norm of each loss by a backward pass of its own.

    Neither ``grad`` of a parameter nor the graph changes, so a training step can go on as if this had not been called.
    The norms stay on the device.

    Args:
        losses (Mapping[str, Tensor]): Scalars of one graph, by name.
        parameters (Iterable[nn.Parameter]): The parameters over which the norms are taken.
        scale (float): Factor of the losses in the backward passes, which keeps small gradients of half precision from
            vanishing; the norms are divided by it. Defaults to 1.0.

    Returns:
        dict[str, Tensor]: The Euclidean norms, by name; 0 for a loss without gradient.
    """
    parameters = [parameter for parameter in parameters if parameter.requires_grad]
    return {name: _norm(loss, parameters, scale) for name, loss in losses.items()}


def _norm(loss: Tensor, parameters: list[nn.Parameter], scale: float) -> Tensor:
    if not (loss.requires_grad and parameters):
        return loss.new_zeros(())
    gradients = torch.autograd.grad(loss * scale, parameters, retain_graph=True, allow_unused=True)
    norms = [gradient.float().norm() for gradient in gradients if gradient is not None]
    return torch.stack(norms).norm() / scale if norms else loss.new_zeros(())
