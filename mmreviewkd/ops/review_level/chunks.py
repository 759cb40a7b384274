"""Access to a level's input in chunks of a few images."""

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

from .layout import to_rows


class Chunks:
    """The student's feature as rows of channels, in chunks of images.

    Args:
        feature (Tensor): ``s``, ``[N, C, h, w]``.
        images (int): Images per chunk.
        dtype (torch.dtype): Type of the rows.
        unit (Tensor, optional): A positive number by which the feature is divided, see :func:`unit_of`. Defaults to
            None.
    """

    def __init__(self, feature: Tensor, images: int, dtype: torch.dtype, unit: Tensor | None = None) -> None:
        self.feature = feature
        self.dtype = dtype
        self.unit = unit
        n, _, h, w = feature.shape
        self.grid = (n, h, w)
        self.pixels = n * h * w
        self.parts = [slice(start, min(start + images, n)) for start in range(0, n, images)]
        self._rows = to_rows(feature)
        self._whole: CenteredRows | None = None

    def mean(self) -> Tensor:
        """Mean ``[C]`` over all pixels of the batch."""
        mean = self.feature.mean((0, 2, 3), dtype=self.dtype)
        return mean if self.unit is None else mean / self.unit

    def rows(self, part: slice, center: Tensor | None) -> 'CenteredRows':
        """The rows of some images. If the batch is one chunk, they are kept for the next call."""
        if len(self.parts) > 1:
            return self._read(part, center)
        if self._whole is None or self._whole.center is not center:
            self._whole = self._read(part, center)
        return self._whole

    def _read(self, part: slice, center: Tensor | None) -> 'CenteredRows':
        rows = self._rows[part]
        return CenteredRows(rows if self.unit is None else rows.to(self.dtype) / self.unit, center, self.dtype)

    def flat_rows(self, center: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
        """Iterate over the chunks: the slice of images, and their rows ``c``, ``[n h w, C]``."""
        for part in self.parts:
            yield part, self.rows(part, center).centered.flatten(0, 2)


class CenteredRows:
    """Rows ``s`` of some images, from which a vector is yet to be subtracted.

    Args:
        rows (Tensor): ``s``, ``[n, h, w, C]``, of any floating-point type.
        center (Tensor, optional): ``[C]``, of type ``dtype``; None for zero.
        dtype (torch.dtype): Type in which the rows are used, at least as precise as that of ``rows``.
    """

    def __init__(self, rows: Tensor, center: Tensor | None, dtype: torch.dtype) -> None:
        self.rows = rows
        self.center = center
        self.dtype = dtype

    @functools.cached_property
    def values(self) -> Tensor:
        """The rows ``s``, ``[n, h, w, C]``."""
        return self.rows.to(self.dtype)

    @functools.cached_property
    def centered(self) -> Tensor:
        """The rows ``c = s - center``, ``[n, h, w, C]``."""
        return self.values if self.center is None else self.rows - self.center

    def center_or_zero(self) -> Tensor:
        """The vector that is subtracted, ``[C]``."""
        return self.values.new_zeros(self.values.shape[-1]) if self.center is None else self.center


def unit_of(feature: Tensor) -> Tensor:
    """The power of two next to the root mean square of ``[N, C, h, w]``, a scalar.

    In float16 a feature of large norm would overflow when it is centered, and the weights by which it is normalized
    would be too small. Both are of ordinary size if the feature is divided by its unit, and ``conv1`` multiplied by it.
    """
    mean_square = torch.linalg.vector_norm(feature, dtype=torch.float32).square() / feature.numel()
    return mean_square.clamp(1e-30, 1e30).log2().div(2).round().exp2()
