"""Maps whose channels come last, of torchvision's Swin Transformer."""

import pytest
import torch
from torchvision.models import SwinTransformer

from mmreviewkd.models import FeatureTaps
from mmreviewkd.utils import TapError

IMAGES = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def recorded(*taps):
    torch.manual_seed(0)
    model = SwinTransformer([4, 4], 8, [1, 1], [1, 2], [2, 2], num_classes=3).eval()
    with torch.no_grad(), FeatureTaps([dict(type='ChannelsLastToMap', tap=tap) for tap in taps]).record(
            model, IMAGES) as recording:
        model(IMAGES)
    return model, recording


def test_the_channels_come_first():
    """The network itself turns its last map this way before it pools."""
    model, recording = recorded('features[1]', 'norm')
    fine, coarse = recording.features()
    assert (fine.shape, coarse.shape) == ((1, 8, 16, 24), (1, 16, 8, 12))
    torch.testing.assert_close(model.head(model.avgpool(coarse).flatten(1)), model(IMAGES), rtol=0, atol=0)


def test_what_is_no_map_is_named():
    with pytest.raises(TapError, match=r"'head' gives no map \[N, H, W, C\] for ChannelsLastToMap.*\(1, 3\)"):
        recorded('head')[1].features()
