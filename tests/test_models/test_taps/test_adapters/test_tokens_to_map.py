"""Tokens folded to maps, against mmpretrain's own maps."""

import pytest
import torch
from mmengine.registry import MODELS

from mmreviewkd.models import FeatureTaps, TokensToMap
from mmreviewkd.models.taps.adapters import token_grid
from mmreviewkd.utils import ConfigError, TapError


def backbone(**config):
    pytest.importorskip('mmpretrain')
    torch.manual_seed(0)
    model = MODELS.build(dict(_scope_='mmpretrain', **config))
    model.eval()
    return model


def vision_transformer(**changes):
    arch = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)
    return backbone(**{**dict(type='VisionTransformer', arch=arch, img_size=64, out_type='featmap'), **changes})


def swin_transformer():
    arch = dict(embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8])
    return backbone(
        type='SwinTransformer', arch=arch, img_size=64, out_indices=(0, 1, 2, 3), pad_small_map=True)


def folded(model, taps, images):
    with torch.no_grad(), FeatureTaps(taps).record(model, images) as recording:
        outputs = model(images)
    return recording.features(), outputs


def images(height, width):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(('height', 'width'), [(64, 64), (96, 64), (64, 112), (80, 75)])
@pytest.mark.parametrize(('changes', 'extra'), [
    (dict(), 1), (dict(with_cls_token=False), 0), (dict(type='DistilledVisionTransformer'), 2)])
def test_arranges_tokens_as_a_vision_transformer_does(changes, extra, height, width):
    (found,), (expected,) = folded(
        vision_transformer(**changes), [dict(type='TokensToMap', tap='ln1', num_extra_tokens=extra)],
        images(height, width))
    assert expected.shape[-2:] == (-(-height // 16), -(-width // 16))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize(('height', 'width'), [(64, 64), (96, 160), (77, 100)])
def test_arranges_tokens_as_a_swin_transformer_does(height, width):
    """Its stages merge patches, padded where their number is odd."""
    found, expected = folded(
        swin_transformer(), [dict(type='TokensToMap', tap=f'norm{i}') for i in range(4)], images(height, width))
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e, rtol=0, atol=0)


@pytest.mark.parametrize(('count', 'size', 'grid'), [
    (196, (224, 224), (14, 14)), (168, (224, 192), (14, 12)), (168, (192, 224), (12, 14)), (256, (224, 224), (16, 16)),
    (4 * 7, (64, 112), (4, 7)), (13 * 12, (200, 191), (13, 12)), (1, (64, 96), (1, 1)), (197, (224, 224), None),
    (0, (64, 64), None), (-1, (64, 64), None)])
def test_the_grid_follows_from_the_images(count, size, grid):
    assert token_grid(count, size) == grid


def test_nothing_is_copied_and_gradients_flow():
    tokens = torch.randn(2, 13, 5, requires_grad=True)
    made = TokensToMap(num_extra_tokens=1)(tokens, (48, 64))
    assert made.shape == (2, 5, 3, 4)
    assert made.data_ptr() == tokens[:, 1:].data_ptr()
    made[:, :, 2, 1].sum().backward()
    assert tokens.grad.sum(dim=(0, 2)).tolist() == [0.0] * 10 + [10.0] + [0.0] * 2


@pytest.mark.parametrize(('config', 'tap', 'message'), [
    (dict(), 'ln1', r"teacher.taps: 'ln1' gives 17 tokens.*64 x 64 pixels; num_extra_tokens=1 would leave"),
    (dict(num_extra_tokens=2), 'ln1', r'leaves 15, no grid .*num_extra_tokens=1 would leave'),
    (dict(num_extra_tokens=1), 'patch_embed.projection', r'no tokens \[N, L, C\].*\(2, 24, 4, 4\)')])
def test_tokens_without_a_grid_are_named_with_num_extra_tokens_that_would_fit(config, tap, message):
    x = images(64, 64)
    model = vision_transformer()
    with FeatureTaps([dict(type='TokensToMap', tap=tap, **config)], 'teacher.taps').record(model, x) as recording:
        model(x)
    with pytest.raises(TapError, match=message):
        recording.features()


def test_without_an_image_size_tokens_have_no_grid():
    with pytest.raises(TapError, match='their grid is unknown'):
        TokensToMap()(torch.zeros(1, 4, 2), None)


@pytest.mark.parametrize(('config', 'message'), [
    (dict(type='TokensToMap', num_extra_token=1), 'num_extra_tokens'),
    (dict(type='TokensToMap', num_extra_tokens=-1), 'num_extra_tokens must be an integer of at least 0'),
    (dict(type='TokenToMap'), "'neck'.*TokenToMap")])
def test_bad_settings_are_named(config, message):
    with pytest.raises(ConfigError, match=message):
        FeatureTaps([dict(tap='neck', **config)])
