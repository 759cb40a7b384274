"""Moments of a level's input, which give the statistics of the normalization after ``conv1`` without its output.

The output of ``conv1`` is ``W s`` at each pixel. Its mean is ``W`` times the mean of ``s``. Its variance follows from
the covariance ``[C, C]`` of ``s``, or, if ``C`` is large compared with ``M`` or with the number of pixels, is summed
over chunks of the output, which are dropped after use (docs/fast_path.md, Eq. 2 to 4).
"""

from typing import NamedTuple

from torch import Tensor

from mmreviewkd.ops.compiled import is_compiled
from mmreviewkd.ops.compiled.products import add_centered_product, scatter

from .chunks import Chunks
from .matmul import add_matmul, add_transposed_matmul, matmul


class Moments(NamedTuple):
    """Moments of the pixels of a batch; exactly one of ``covariance`` and ``variance`` is given.

    Args:
        mean (Tensor, optional): Mean of ``s``, ``[C]``; None if running statistics normalize.
        covariance (Tensor, optional): Covariance of ``s``, ``[C, C]``.
        variance (Tensor, optional): Variance of ``W s``, ``[M]``, or the running variance.
    """

    mean: Tensor | None
    covariance: Tensor | None
    variance: Tensor | None


def moments(chunks: Chunks, weight: Tensor, from_covariance: bool) -> Moments:
    """Compute the moments of a batch.

    Args:
        chunks (Chunks): The level's input.
        weight (Tensor): ``W``, ``[M, C]``.
        from_covariance (bool): Whether to compute the covariance of the input rather than the variance of the product.

    Returns:
        Moments: The moments of the batch.
    """
    mean = chunks.mean()  # Eq. 2
    if from_covariance:
        covariance = weight.new_zeros((weight.shape[1], weight.shape[1]))
        for part in chunks.parts:  # Eq. 3
            rows = chunks.rows(part, mean)
            if is_compiled(mean):
                covariance += scatter(rows.values.flatten(0, 2), mean)
            else:
                flat = rows.centered.flatten(0, 2)
                add_transposed_matmul(covariance, flat, flat)
        return Moments(mean, covariance / chunks.pixels, None)
    squares = sum(matmul(rows, weight.t()).square_().sum(0) for _, rows in chunks.flat_rows(mean))  # Eq. 4
    return Moments(mean, None, squares / chunks.pixels)


def add_moments_adjoint(
        grad_rows: Tensor, grad_moments: Moments, chunks: Chunks, weight: Tensor, mean: Tensor) -> Tensor | None:
    """Adjoint of :func:`moments`.

    Args:
        grad_rows (Tensor): Gradient of the rows, ``[N, h, w, C]``, to which the gradient through the moments is added.
        grad_moments (Moments): Gradients of the moments.
        chunks (Chunks): The level's input.
        weight (Tensor): ``W``, ``[M, C]``.
        mean (Tensor): The mean in the moments, ``[C]``.

    Returns:
        Tensor or None: The gradient of ``W`` through the variance, ``[M, C]``; None if the covariance was computed.
    """
    through_mean = grad_moments.mean / chunks.pixels  # Eq. 21
    if grad_moments.covariance is not None:
        through_covariance = (grad_moments.covariance + grad_moments.covariance.t()) / chunks.pixels
        for part in chunks.parts:  # Eq. 22
            rows, through_rows = chunks.rows(part, mean), grad_rows[part].flatten(0, 2)
            if is_compiled(grad_rows):
                values = rows.values.flatten(0, 2)
                add_centered_product(through_rows, values, mean, through_covariance, through_mean)
            else:
                add_matmul(through_rows.add_(through_mean), rows.centered.flatten(0, 2), through_covariance)
        return None
    grad_weight = weight.new_zeros(weight.shape)
    factor = grad_moments.variance * (2 / chunks.pixels)
    for part, rows in chunks.flat_rows(mean):
        grad_product = matmul(rows, weight.t()).mul_(factor)  # Eq. 23
        add_transposed_matmul(grad_weight, grad_product, rows)
        grad_rows[part] += matmul(grad_product, weight).add_(through_mean).view_as(grad_rows[part])
    return grad_weight
