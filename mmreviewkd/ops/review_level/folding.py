"""The small tensors of a level: normalization folded into ``conv1``, ``conv1`` folded into the attention and ``conv2``.

These tensors are as small as weights, not as large as maps, and are differentiated by autograd.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .moments import Moments


class BatchNorm(NamedTuple):
    """Parameters, buffers and mode of a batch normalization in one call.

    Args:
        weight (Tensor): Gamma, ``[K]``.
        bias (Tensor): Beta, ``[K]``.
        running_mean (Tensor): ``[K]``, updated in place if ``momentum`` is given.
        running_var (Tensor): ``[K]``, updated in place if ``momentum`` is given.
        from_batch (bool): Whether to normalize by the statistics of the batch rather than by the running statistics.
        momentum (float, optional): Weight of the batch in the updated running statistics; None leaves them unchanged.
        eps (float): Added to the variance.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    from_batch: bool
    momentum: float | None
    eps: float


class Folded(NamedTuple):
    """The small tensors of a level.

    Args:
        affine (Tensor): ``[A b]``, ``[M, C + 1]``: ``BN(conv1(s)) = A c + b`` for the rows ``c``.
        attention (Tensor, optional): ``[V_x A, V_x b + bias]``, ``[2, C + 1]``: the level's part of the logits.
        coarse_attention (Tensor, optional): ``V_u``, ``[2, M]``: the residual's part of the logits.
        kernels (tuple[Tensor, ...]): The kernels of the chosen convolution, computed from the weight of ``conv2``.
    """

    affine: Tensor
    attention: Tensor | None
    coarse_attention: Tensor | None
    kernels: tuple[Tensor, ...]

    def tensors(self) -> list[Tensor]:
        """All tensors that are not None, in order."""
        return [t for t in (self.affine, self.attention, self.coarse_attention, *self.kernels) if t is not None]


def variance_of_conv1(weight: Tensor, moments: Moments) -> Tensor:
    """Variance ``[M]`` of ``conv1(s)``: as given, or ``diag(W Cov(s) W^T)`` (Eq. 3)."""
    if moments.variance is not None:
        return moments.variance
    return ((weight @ moments.covariance) * weight).sum(1).clamp(min=0)


def fold_normalization(
        weight: Tensor, gamma: Tensor, beta: Tensor, moments: Moments, eps: float, center: Tensor | None,
        running_mean: Tensor | None) -> Tensor:
    """Fold ``conv1`` and its normalization into one affine map of the rows ``c = s - center`` (Eq. 5 and 6).

    Args:
        weight (Tensor): ``W``, ``[M, C]``.
        gamma (Tensor): ``[M]``.
        beta (Tensor): ``[M]``.
        moments (Moments): Moments of the batch, or the running variance only.
        eps (float): Added to the variance.
        center (Tensor, optional): The vector that was subtracted from the input, ``[C]``: the batch's mean, treated as
            a constant by differentiation, unlike ``moments.mean``. None if nothing was subtracted.
        running_mean (Tensor, optional): Running mean of ``conv1(s)``, ``[M]``, if ``moments`` has no mean.

    Returns:
        Tensor: ``[A b]``, ``[M, C + 1]``.
    """
    scale = gamma * (variance_of_conv1(weight, moments) + eps).rsqrt()
    kernel = scale[:, None] * weight
    # In training the shift has the value of beta, and a gradient with respect to the mean.
    shift = beta - scale * running_mean if moments.mean is None else beta + kernel @ (center - moments.mean)
    return torch.cat((kernel, shift[:, None]), 1)


def fold_attention(affine: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Fold ``[A b]`` into the 1x1 convolution of the attention (Eq. 8).

    Args:
        affine (Tensor): ``[A b]``, ``[M, C + 1]``.
        weight (Tensor): ``[V_x V_u]``, ``[2, 2M]``.
        bias (Tensor): ``[2]``.

    Returns:
        tuple[Tensor, Tensor]: ``[V_x A, V_x b + bias]``, ``[2, C + 1]``, and ``V_u``, ``[2, M]``.
    """
    own, coarse = weight.chunk(2, dim=1)
    attention = own @ affine
    return torch.cat((attention[:, :-1], attention[:, -1:] + bias[:, None]), 1), coarse


def fold(
        weight1: Tensor, gamma1: Tensor, beta1: Tensor, att_weight: Tensor | None, att_bias: Tensor | None,
        weight2: Tensor, moments: Moments, eps: float, center: Tensor | None, running_mean: Tensor | None,
        kernels: Callable[[Tensor, Tensor], Sequence[Tensor]]) -> Folded:
    """Fold a level's parameters.

    Args:
        weight1 (Tensor): Weight of ``conv1``, ``[M, C, 1, 1]``.
        gamma1 (Tensor): Scale of its normalization, ``[M]``.
        beta1 (Tensor): Shift of its normalization, ``[M]``.
        att_weight (Tensor, optional): Weight of the attention, ``[2, 2M, 1, 1]``; None if no residual is fused.
        att_bias (Tensor, optional): Bias of the attention, ``[2]``.
        weight2 (Tensor): Weight of ``conv2``, ``[O, M, 3, 3]`` or ``[O, M, 1, 1]``.
        moments (Moments): See :func:`fold_normalization`.
        eps (float): See :func:`fold_normalization`.
        center (Tensor, optional): See :func:`fold_normalization`.
        running_mean (Tensor, optional): See :func:`fold_normalization`.
        kernels (Callable): Computes the kernels of the chosen convolution from ``weight2`` and ``[A b]``.

    Returns:
        Folded: The small tensors.
    """
    affine = fold_normalization(weight1.flatten(1), gamma1, beta1, moments, eps, center, running_mean)
    attention = (None, None) if att_weight is None else fold_attention(affine, att_weight.flatten(1), att_bias)
    return Folded(affine, *attention, tuple(kernels(weight2, affine)))


def update_running_statistics(norm: BatchNorm, weight: Tensor, moments: Moments, pixels: int) -> None:
    """Update the running statistics of the normalization after ``conv1`` as ``nn.BatchNorm2d`` does (Eq. 7).

    Args:
        norm (BatchNorm): The normalization; its statistics are updated in place, unless ``momentum`` is None.
        weight (Tensor): ``W``, ``[M, C]``.
        moments (Moments): Moments of the batch.
        pixels (int): Number of pixels of the batch, as the running variance is the unbiased one.
    """
    if norm.momentum is not None:
        norm.running_mean.lerp_(weight @ moments.mean, norm.momentum)
        norm.running_var.lerp_(variance_of_conv1(weight, moments) * (pixels / (pixels - 1)), norm.momentum)
