"""Memory layouts of the fast path: rows of channels, blocks of pixels, and nearest resizing of both.

The fast path holds maps ``[n, K, h, w]`` as rows ``[n, h, w, K]``, so that a 1x1 convolution is a matrix product. A
residual that nearest resizing would repeat over whole blocks of pixels is never resized: it stays
``[n, h', 1, w', 1, K]`` and broadcasts against the blocks ``[n, h', h / h', w', w / w', K]`` of a fine map.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def to_rows(maps: Tensor) -> Tensor:
    """``[n, K, h, w]`` to contiguous ``[n, h, w, K]``."""
    return maps.permute(0, 2, 3, 1).contiguous()


def to_maps(rows: Tensor) -> Tensor:
    """``[n, h, w, K]`` to a view ``[n, K, h, w]``, which is in the channels_last memory format."""
    return rows.permute(0, 3, 1, 2)


def repeats_whole_blocks(coarse: tuple[int, int], fine: tuple[int, int]) -> bool:
    """Whether nearest resizing from ``coarse`` to ``fine`` repeats each pixel over a block of the same size.

    Accepts ratios that are powers of two, and sides of one pixel. Other ratios may be rounded by the floating-point
    arithmetic of ``F.interpolate``, whose result defines the fusion.
    """
    return all(c == 1 or (f % c == 0 and (f // c).bit_count() == 1) for c, f in zip(coarse, fine))


def as_blocks(fine: Tensor, coarse: Tensor) -> Tensor:
    """``[n, h, w, K]`` as a view ``[n, h', h / h', w', w / w', K]``, for ``coarse`` ``[n, h', 1, w', 1, *]``."""
    rows, columns = coarse.shape[1], coarse.shape[3]
    return fine.unflatten(2, (columns, -1)).unflatten(1, (rows, -1))


def coarse_rows(residual: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The residual ``[n, M, h', w']`` as ``[n, h', 1, w', 1, M]``, resized to ``size`` first if it has no blocks."""
    residual = residual.to(dtype)
    if not repeats_whole_blocks(residual.shape[-2:], size):
        residual = F.interpolate(residual, size=size, mode='nearest')
    return to_rows(residual)[:, :, None, :, None]


def coarse_rows_adjoint(grad: Tensor, size: tuple[int, int]) -> Tensor:
    """Adjoint of :func:`coarse_rows`, ``[n, M, h', w']`` where ``size`` is ``(h', w')`` of the residual."""
    grad = to_maps(grad[:, :, 0, :, 0])
    if grad.shape[-2:] == tuple(size):
        return grad
    return torch.ops.aten.upsample_nearest2d_backward(grad, grad.shape[-2:], [*grad.shape[:2], *size])


def resize_rows(rows: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest resize of ``[n, h, w, K]`` to ``[n, *size, K]``."""
    if rows.shape[1:3] == tuple(size):
        return rows
    return to_rows(F.interpolate(to_maps(rows), size=size, mode='nearest'))


def resize_rows_adjoint(grad: Tensor, size: tuple[int, int]) -> Tensor:
    """Adjoint of :func:`resize_rows`, ``[n, *size, K]`` where ``size`` is that of its input."""
    if grad.shape[1:3] == tuple(size):
        return grad
    n, h, w, channels = grad.shape
    return to_rows(torch.ops.aten.upsample_nearest2d_backward(to_maps(grad), [h, w], [n, channels, *size]))
