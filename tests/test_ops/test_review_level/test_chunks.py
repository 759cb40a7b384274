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


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize('images', [2, 5])
def test_rows_of_any_type_are_centered_in_that_of_the_vector(dtype, images):
    feature, center = normal(5, 3, 4, 2).to(dtype), normal(3, seed=1).float()
    chunks = Chunks(feature, images, torch.float32)
    for part in chunks.parts:
        expected = feature[part].float().permute(0, 2, 3, 1)
        rows = chunks.rows(part, center)
        assert torch.equal(rows.values, expected) and torch.equal(rows.centered, expected - center)
        assert torch.equal(chunks.rows(part, None).centered, expected)
        assert torch.equal(chunks.rows(part, center).centered, expected - center)
