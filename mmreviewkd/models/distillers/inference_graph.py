"""Inference-time optimizations of a frozen network: folded batch normalizations, compiled features."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from mmreviewkd.models.taps.feature_taps import FeatureTaps

_BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


@torch.no_grad()
def fold_batch_norms(model: nn.Module, features: Callable[[nn.Module], Sequence[Tensor]]) -> nn.Module:
    """Fold batch normalizations into the preceding convolutions, if the features stay the same.

    Args:
        model (nn.Module): A network in eval mode.
        features (Callable): Computes the features that must not change, such as ``[N, C, H, W]`` maps.

    Returns:
        nn.Module: A folded copy; ``model`` itself if a feature lies between a convolution and its normalization, or the
        network does not run its modules in the order of registration.
    """
    try:
        folded = _fold_children(copy.deepcopy(model))
    except RuntimeError:  # a normalization with other channels follows another convolution
        return model
    same = all(
        torch.allclose(after, before, rtol=1e-3, atol=1e-4 * float(before.abs().max()))
        for before, after in zip(features(model), features(folded)))
    return folded if same else model


def _fold_children(module: nn.Module) -> nn.Module:
    """Fold, in place and at every depth, each batch normalization into the convolution registered right before it."""
    previous = None
    for name, child in module.named_children():
        if isinstance(child, _BATCH_NORMS) and child.running_var is not None:
            if previous is not None:
                setattr(module, previous, fuse_conv_bn_eval(getattr(module, previous), child))
                setattr(module, name, nn.Identity())
            previous = None
        elif isinstance(child, nn.Conv2d):
            previous = None if is_parametrized(child) else name
        else:
            _fold_children(child)
    return module


def compile_features(
        model: nn.Module, taps: FeatureTaps, run: Callable[[Tensor], object],
        **options: object) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Compile the computation of a frozen network's features, without operations that no tap needs.

    Args:
        model (nn.Module): The network; the hooks of its taps stay registered.
        taps (FeatureTaps): The taps of its features.
        run (Callable): Runs the network on a batch ``[N, C, H, W]``.
        **options: Options of ``torch.compile``.

    Returns:
        Callable: Computes the levels ``[N, C_k, H_k, W_k]`` of a batch.
    """
    passed = {}
    taps.attach(model, passed.__setitem__)

    def values(inputs: Tensor) -> tuple:
        run(inputs)
        found = tuple(passed[tap] for tap in taps.taps)
        passed.clear()  # so that no feature outlives the step
        return found

    compiled = torch.compile(values, **options)

    def features(inputs: Tensor) -> tuple[Tensor, ...]:
        recording = taps.recording(inputs)
        for tap, value in zip(taps.taps, compiled(inputs)):
            recording.note(tap, value)
        return recording.features()

    return features
