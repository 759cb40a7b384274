"""Access to a level's input in chunks of a few images."""

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
    """

    def __init__(self, feature: Tensor, images: int, dtype: torch.dtype) -> None:
        self.feature = feature
        self.dtype = dtype
        n, _, h, w = feature.shape
        self.grid = (n, h, w)
        self.pixels = n * h * w
        self.parts = [slice(start, min(start + images, n)) for start in range(0, n, images)]
        self._rows = to_rows(feature)

    def mean(self) -> Tensor:
        """Mean ``[C]`` over all pixels of the batch."""
        return self.feature.mean((0, 2, 3), dtype=self.dtype)

    def rows(self, part: slice, center: Tensor | None) -> Tensor:
        """The rows ``c = s - center`` of some images, ``[n, h, w, C]``."""
        rows = self._rows[part].to(self.dtype)
        return rows if center is None else rows - center

    def flat_rows(self, center: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
        """Iterate over the chunks: the slice of images, and their rows ``[n h w, C]``."""
        for part in self.parts:
            yield part, self.rows(part, center).flatten(0, 2)
