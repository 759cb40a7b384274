"""Products of float32 matrices with many rows by compiled functions."""

from torch import Tensor

from .library import call

# Rows whose products are added up at a time: a strip of both matrices fits the second-level cache of a core. Of larger
# matrices more, so that the sums take no more memory than so many results.
LEAST_ROWS, MOST_SUMS = 2048, 64


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
