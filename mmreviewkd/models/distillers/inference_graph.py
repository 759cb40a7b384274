"""A frozen network computes less than one that trains."""

import copy
from collections.abc import Callable, Sequence

import torch
from mmcv.cnn.utils import fuse_conv_bn
from torch import Tensor, nn

from mmreviewkd.models.taps.feature_taps import FeatureTaps, Recording, size_of


@torch.no_grad()
def fold_batch_norms(model: nn.Module, features: Callable[[nn.Module], Sequence[Tensor]]) -> nn.Module:
    """Fold batch normalizations into the convolutions before them, where that changes none of the features.

    Args:
        model (nn.Module): A network in eval mode.
        features (Callable): Gives what is wanted of a network, such as ``[N, C, H, W]`` maps.

    Returns:
        nn.Module: A folded copy; ``model`` itself where a feature lies between a convolution and its normalization,
        or the network does not run its modules in the order it holds them.
    """
    try:
        folded = fuse_conv_bn(copy.deepcopy(model))
    except RuntimeError:  # the normalization held next to a convolution has other channels, so it is not of that one
        return model
    same = all(
        torch.allclose(after, before, rtol=1e-3, atol=1e-4 * float(before.abs().max()))
        for before, after in zip(features(model), features(folded)))
    return folded if same else model


def compile_features(
        model: nn.Module, taps: FeatureTaps, run: Callable[[Tensor], object],
        **options: object) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Compile what a frozen network gives at its taps; what no tap needs is no part of the compiled graph.

    Args:
        model (nn.Module): The network; from here on it is tapped for good.
        taps (FeatureTaps): The taps.
        run (Callable): Runs the network on a batch.
        **options: Of ``torch.compile``.

    Returns:
        Callable: Gives the levels ``[N, C, H, W]`` of a batch.
    """
    passed = {}
    for tap in taps.taps:
        taps.attach(taps.resolve(model, tap), tap, passed)

    def values(inputs: Tensor) -> tuple:
        run(inputs)
        return tuple(passed[tap] for tap in taps.taps)

    compiled = torch.compile(values, **options)

    def features(inputs: Tensor) -> tuple[Tensor, ...]:
        recording = Recording(taps, size_of(inputs))
        for tap, value in zip(taps.taps, compiled(inputs)):
            recording.note(tap, value)
        return recording.features()

    return features
