"""The 15 networks of the paper's CIFAR-100 pairs compute what their public versions do."""

import pytest
import torch
from cifar import NETWORKS, network, public_state, reference, reference_images

from mmreviewkd.models import (
    CIFARVGG,
    CIFARMobileNetV2,
    CIFARShuffleNetV1,
    CIFARShuffleNetV2,
    CIFARWideResNet,
    FeatureTaps,
)
from mmreviewkd.utils.checkpoint import load_weights
from mmreviewkd.utils.convert_checkpoint import convert_state


def statistics(feature):
    return pytest.approx([feature.mean().item(), feature.std().item()], rel=1e-9)


@pytest.mark.parametrize('name', NETWORKS)
def test_is_the_public_network(name):
    expected, (_, stages, before_relu) = reference(name), NETWORKS[name]
    model = network(name).double().eval()
    assert sum(p.numel() for p in model.parameters()) == expected['params']
    load_weights(model, convert_state(model, public_state(name))[0], name)
    for key, taps in (('feats', stages), ('preact_feats', before_relu)):
        taps = FeatureTaps([*taps, 'neck', 'head.fc'])
        with torch.no_grad(), taps.record(model) as recording:
            model(reference_images())
        *levels, pooled, logits = recording.features()
        for feature, wanted in zip(levels, expected[key][len(expected[key]) - len(levels):]):
            assert list(feature.shape[1:]) == wanted['shape']
            assert wanted['mean_std'] == statistics(feature)
        assert expected['pooled']['mean_std'] == statistics(pooled)
        assert expected['logits'] == pytest.approx(logits.flatten()[:10].tolist(), rel=1e-9, abs=1e-9)
        assert expected['logits_std'] == pytest.approx(logits.std().item(), rel=1e-9)


@pytest.mark.parametrize('name', NETWORKS)
def test_a_training_step_may_read_before_and_after_every_relu(name):
    """In-place ReLUs leave what is tapped as it was: the same features in the same training-mode pass, both trained."""
    _, stages, before_relu = NETWORKS[name]
    model = network(name).train()
    taps = FeatureTaps([*stages, *before_relu])
    with taps.record(model) as recording:
        model(reference_images().float())
    features = recording.features()
    sum(feature.square().mean() for feature in features).backward()
    assert all(parameter.grad is not None for parameter in model.backbone.layer1.parameters())
    before, after = features[len(stages):], features[:len(stages)]
    assert all((feature < 0).any() for feature in before)
    # What the last ReLU of a Wide ResNet's stage gives flows on inside the next stage.
    if before and not name.startswith('wrn'):
        for low, high in zip(before, after):
            torch.testing.assert_close(
                low.relu().flatten(1).sort().values, high.flatten(1).sort().values)


@pytest.mark.parametrize(('build', 'channels'), [
    (lambda **kw: CIFARWideResNet(10, 1, **kw), (16, 32, 64)),
    (lambda **kw: CIFARVGG(8, **kw), (64, 128, 256, 512, 512)),
    (lambda **kw: CIFARMobileNetV2(0.5, **kw), (8, 12, 16, 32, 48, 80, 160, 1280)),
    (lambda **kw: CIFARShuffleNetV1(**kw), (240, 480, 960)),
    (lambda **kw: CIFARShuffleNetV2(**kw), (116, 232, 464, 1024)),
], ids=['wide resnet', 'vgg', 'mobilenet v2', 'shufflenet v1', 'shufflenet v2'])
def test_gives_the_stages_asked_for(build, channels):
    image = torch.zeros(2, 1, 32, 32)
    stages = build(in_channels=1, out_indices=range(len(channels))).eval()(image)
    assert tuple(stage.shape[1] for stage in stages) == channels
    last, = build(in_channels=1).eval()(image)
    assert last.shape == stages[-1].shape
    with pytest.raises(ValueError, match='out_indices'):
        build(out_indices=(len(channels),))


@pytest.mark.parametrize(('build', 'message'), [
    (lambda: CIFARWideResNet(18, 2), '6n'), (lambda: CIFARWideResNet(4, 2), '6n'), (lambda: CIFARVGG(11), '5n')])
def test_depths_that_cannot_be_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
