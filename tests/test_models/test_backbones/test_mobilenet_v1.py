"""MobileNetV1."""

import pytest
import torch
from mmengine.registry import MODELS

from mmreviewkd.models import FeatureTaps, MobileNetV1


def test_has_the_parameters_of_the_paper():
    """4.2 million with the classifier of 1000 classes."""
    assert sum(p.numel() for p in MobileNetV1().parameters()) == 4_231_976 - (1024 + 1) * 1000


@pytest.mark.parametrize(('height', 'width'), [(64, 64), (70, 90)])
def test_gives_four_stages(height, width):
    model = MODELS.build(dict(type='mmreviewkd.MobileNetV1', out_indices=(0, 1, 2, 3)))
    shapes = [tuple(f.shape) for f in model(torch.zeros(2, 3, height, width))]
    assert shapes == [
        (2, channels, -(-height // stride), -(-width // stride))
        for channels, stride in ((128, 4), (256, 8), (512, 16), (1024, 32))]


def test_is_tapped_before_the_last_relu_of_each_stage():
    torch.manual_seed(0)
    model = MobileNetV1(out_indices=(0, 1, 2, 3)).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad(), FeatureTaps([f'layer{i}[-1].relu:input' for i in (1, 2, 3, 4)]).record(model) as recording:
        after = model(images)
    for before, output in zip(recording.features(), after, strict=True):
        assert (before < 0).any()
        torch.testing.assert_close(before.relu(), output, rtol=0, atol=0)


def test_counts_the_multiplications_of_the_paper():
    """569 million at 224 pixels, of which the classifier has one."""
    from torch.utils.flop_counter import FlopCounterMode
    with torch.device('meta'), FlopCounterMode(display=False) as counter:
        MobileNetV1()(torch.zeros(1, 3, 224, 224))
    assert counter.get_total_flops() // 2 == 568_740_352 - 1024 * 1000


def test_a_stage_that_is_not_there_is_named():
    with pytest.raises(ValueError, match='out_indices'):
        MobileNetV1(out_indices=(4,))
