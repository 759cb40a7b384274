"""Products of float32 matrices with many rows by compiled functions."""

from torch import Tensor

from .library import call

# Rows whose products are added up at a time: a strip of both matrices fits the second-level cache of a core. Of larger
# matrices more, so that the sums take no more memory than so many results.
LEAST_ROWS, SCATTER_ROWS, MOST_SUMS = 2048, 256, 64


def transposed_product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply two matrices of many rows, ``a^T b``, without a transposed copy.

    Args:
        a (Tensor): ``[P, M]``.
        b (Tensor): ``[P, O]``.

    Returns:
        Tensor: ``[M, O]``.
    """
    a, b = a.contiguous(), b.contiguous()
    rows = len(a)
    product = a.new_empty((a.shape[1], b.shape[1]))
    chunk = max(LEAST_ROWS, -(-rows // MOST_SUMS))
    call('transposed_product', (a, b, product), (rows, *product.shape, chunk))
    return product


def scatter(rows: Tensor, mean: Tensor) -> Tensor:
    """Sum of the products ``c c^T`` of ``c = row - mean`` with itself, which is symmetric: one half is computed.

    Args:
        rows (Tensor): ``[P, K]``.
        mean (Tensor): ``[K]``.

    Returns:
        Tensor: ``[K, K]``.
    """
    rows = rows.contiguous()
    pixels, channels = rows.shape
    out = rows.new_empty((channels, channels))
    chunk = max(SCATTER_ROWS, -(-pixels // MOST_SUMS))
    call('scatter', (rows, mean, out), (pixels, channels, chunk))
    return out


def add_centered_product(total: Tensor, rows: Tensor, mean: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Add ``(rows - mean) matrix + offset`` to a matrix in place.

    Args:
        total (Tensor): ``[P, K]``, contiguous.
        rows (Tensor): ``[P, K]``.
        mean (Tensor): ``[K]``.
        matrix (Tensor): ``[K, K]``, symmetric.
        offset (Tensor): ``[K]``.

    Returns:
        Tensor: ``total``.
    """
    call('add_centered_product', (rows.contiguous(), mean, matrix.contiguous(), offset, total), rows.shape)
    return total
