"""Products of float32 matrices on CPUs, by the faster of the two libraries that PyTorch has for them.

PyTorch multiplies float32 matrices by MKL, and convolves by oneDNN. On AMD CPUs with AVX-512, MKL computes with
registers of half their width, and oneDNN takes half the time for all but small products. There, sums over many rows are
computed by a compiled function, as oneDNN would copy a matrix. Which one computes a product depends on the CPU and the
shapes only, so a training that is resumed on the same machine computes the same.
"""

import functools

import torch
from torch import Tensor

from mmreviewkd.ops.compiled import is_compiled
from mmreviewkd.ops.compiled.products import transposed_product
from mmreviewkd.utils.cpu import is_amd

LEAST_MULTIPLICATIONS = 2**19
"""Products of fewer multiplications are left to MKL, as oneDNN takes some microseconds to prepare each call."""


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply two matrices, ``a b``.

    Args:
        a (Tensor): ``[..., M]``.
        b (Tensor): ``[M, O]``.

    Returns:
        Tensor: ``[..., O]``.
    """
    return _matmul(a, b) if _by_onednn(a, b, a.numel() * b.shape[1]) else a @ b


def add_matmul(total: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Add the product ``a b`` to a matrix in place.

    Args:
        total (Tensor): ``[P, O]``.
        a (Tensor): ``[P, M]``.
        b (Tensor): ``[M, O]``.

    Returns:
        Tensor: ``total``.
    """
    return total.add_(_matmul(a, b)) if _by_onednn(a, b, a.numel() * b.shape[1]) else total.addmm_(a, b)


def add_transposed_matmul(total: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Add the product ``a^T b`` to a matrix in place; ``a`` and ``b`` may have many rows, as features and gradients do.

    Args:
        total (Tensor): ``[M, O]``, of any floating-point type.
        a (Tensor): ``[P, M]``.
        b (Tensor): ``[P, O]``.

    Returns:
        Tensor: ``total``.
    """
    if _by_onednn(a, b, a.numel() * b.shape[1]):
        return total.add_(transposed_product(a, b) if is_compiled(a) and is_compiled(b) else _transposed_matmul(a, b))
    return total.addmm_(a.t(), b) if total.dtype == a.dtype else total.add_(a.t() @ b)


def batch_matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply a batch of pairs of matrices, ``a_k b_k``.

    Args:
        a (Tensor): ``[K, P, M]``.
        b (Tensor): ``[K, M, O]``.
        out (Tensor, optional): ``[K, P, O]``, which is overwritten. Defaults to None.

    Returns:
        Tensor: ``[K, P, O]``.
    """
    if not _by_onednn(a, b, a[0].numel() * b.shape[2]):
        return torch.bmm(a, b, out=out)
    out = a.new_empty((*a.shape[:2], b.shape[2])) if out is None else out
    for k in range(len(a)):
        out[k] = _matmul(a[k], b[k])
    return out


def add_transposed_batch_matmul(total: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    """Add a batch of products ``a_k^T b_k`` to a batch of matrices in place.

    Args:
        total (Tensor, optional): ``[K, M, O]``; None for zeros.
        a (Tensor): ``[K, P, M]``.
        b (Tensor): ``[K, P, O]``.

    Returns:
        Tensor: The total, a new tensor if none was given.
    """
    if not _by_onednn(a, b, a[0].numel() * b.shape[2]):
        return torch.bmm(a.transpose(1, 2), b) if total is None else total.baddbmm_(a.transpose(1, 2), b)
    if total is None:
        total = a.new_empty((len(a), a.shape[2], b.shape[2]))
        for k in range(len(a)):
            total[k] = _transposed_matmul(a[k], b[k])
    else:
        for k in range(len(a)):
            total[k] += _transposed_matmul(a[k], b[k])
    return total


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    # Columns or rows of a wider matrix would be computed by oneDNN's reference implementation, which is very slow.
    b = b if b.is_contiguous() or b.t().is_contiguous() else b.contiguous()
    return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, 'none', [], '')


def _transposed_matmul(a: Tensor, b: Tensor) -> Tensor:
    # The first argument of oneDNN is copied if it is transposed, so the narrower one comes first.
    return _matmul(a.t(), b) if a.shape[1] <= b.shape[1] else _matmul(b.t(), a).t()


def _by_onednn(a: Tensor, b: Tensor, multiplications: int) -> bool:
    return (
        a.device.type == 'cpu' and a.dtype == b.dtype == torch.float32 and multiplications >= LEAST_MULTIPLICATIONS
        and onednn_pays() and torch.backends.mkldnn.enabled)


@functools.cache
def onednn_pays() -> bool:
    """Whether oneDNN multiplies matrices faster than MKL on this CPU, as it does on AMD's with AVX-512."""
    return (
        hasattr(torch.ops.mkldnn, '_linear_pointwise') and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == 'AVX512' and is_amd())
