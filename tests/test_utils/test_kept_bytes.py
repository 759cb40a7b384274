"""Bytes kept for the backward pass are those that can be counted by hand."""

import torch
from torch import nn

from mmreviewkd.utils.kept_bytes import bytes_kept


def test_each_storage_is_counted_once_and_parameters_are_not():
    convolution = nn.Conv2d(3, 4, 3, bias=False)
    image = torch.zeros(2, 3, 8, 8)
    kept, result = bytes_kept(lambda: convolution(image).sum(), convolution.parameters())
    assert kept == image.numel() * 4 and result.requires_grad
    assert bytes_kept(lambda: convolution(image))[0] == kept + convolution.weight.numel() * 4
    # Both factors of the product are views of one storage.
    a = torch.zeros(10, requires_grad=True)
    assert bytes_kept(lambda: (a[:5] * a[5:]).sum())[0] == 40
