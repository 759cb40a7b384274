"""Inference-time optimizations of a frozen network: folded batch normalizations, compiled features."""

import copy
from collections.abc import Callable, Sequence

import torch
from mmcv.cnn.utils import fuse_conv_bn
from torch import Tensor, nn

from mmreviewkd.models.taps.feature_taps import FeatureTaps


@torch.no_grad()
def fold_batch_norms(model: nn.Module, features: Callable[[nn.Module], Sequence[Tensor]]) -> nn.Module:
    """Fold batch normalizations into the convolutions before them, where the features stay the same.

    Args:
        model (nn.Module): A network in eval mode.
        features (Callable): Computes the features that must not change, such as ``[N, C, H, W]`` maps.

    Returns:
        nn.Module: A folded copy; ``model`` itself where a feature lies between a convolution and its normalization,
        or the network does not run its modules in the order in which it registers them.
    """
    try:
        folded = fuse_conv_bn(copy.deepcopy(model))
    except RuntimeError:  # the normalization registered next to a convolution has other channels, so it follows another
        return model
    same = all(
        torch.allclose(after, before, rtol=1e-3, atol=1e-4 * float(before.abs().max()))
        for before, after in zip(features(model), features(folded)))
    return folded if same else model


def compile_features(
        model: nn.Module, taps: FeatureTaps, run: Callable[[Tensor], object],
        **options: object) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Compile the features of a frozen network; operations that no tap needs are not part of the graph.

    Args:
        model (nn.Module): The network; its taps stay attached.
        taps (FeatureTaps): Where its features are read.
        run (Callable): Runs the network on a batch ``[N, C, H, W]``.
        **options: Options of ``torch.compile``.

    Returns:
        Callable: Computes the levels ``[N, C_k, H_k, W_k]`` of a batch.
    """
    passed = {}
    taps.attach(model, passed.__setitem__)

    def values(inputs: Tensor) -> tuple:
        run(inputs)
        return tuple(passed[tap] for tap in taps.taps)

    compiled = torch.compile(values, **options)

    def features(inputs: Tensor) -> tuple[Tensor, ...]:
        recording = taps.recording(inputs)
        for tap, value in zip(taps.taps, compiled(inputs)):
            recording.note(tap, value)
        return recording.features()

    return features
