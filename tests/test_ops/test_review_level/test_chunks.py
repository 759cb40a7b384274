"""Chunks of images."""

import pytest
import torch
from adjoint import normal

from mmreviewkd.ops.review_level.chunks import Chunks


@pytest.mark.parametrize('images', [1, 2, 5, 9])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_chunks_are_the_whole_batch_in_order(images, memory_format):
    feature = normal(5, 3, 4, 2).contiguous(memory_format=memory_format)
    chunks = Chunks(feature, images, torch.float64)
    mean = feature.mean((0, 2, 3))
    torch.testing.assert_close(chunks.mean(), mean)
    rows = torch.cat([rows for _, rows in chunks.flat_rows(mean)])
    torch.testing.assert_close(rows, feature.permute(0, 2, 3, 1).reshape(-1, 3) - mean)
    assert chunks.pixels == len(rows) and max(p.stop - p.start for p in chunks.parts) <= images
