"""The type of autocast."""

import torch

from mmreviewkd.utils.autocast import autocast_dtype


def test_the_type_of_autocast():
    assert autocast_dtype('cpu') is None
    with torch.autocast('cpu', torch.bfloat16):
        assert autocast_dtype('cpu') == torch.bfloat16 and autocast_dtype('cuda') is None
        with torch.autocast('cpu', enabled=False):
            assert autocast_dtype('cpu') is None
