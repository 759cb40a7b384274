"""What a distiller compares at each level on given images, to be looked at."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmreviewkd.models.connectors.base_connector import connector_targets
from mmreviewkd.models.connectors.review_connector import ReviewConnector
from mmreviewkd.models.taps.entry import run_entry
from mmreviewkd.utils.random import preserved_random_state

from .review_distiller import ReviewDistiller


@dataclass(frozen=True)
class LevelView:
    """What is compared at one level.

    Args:
        student (Tensor): The connector's output, ``[N, O, H, W]``.
        teacher (Tensor): The teacher's feature, of the same shape (of other channels and size if there is no
            connector).
        distance (Tensor): The scalar distillation loss of this level alone, with its weight 1 and without warm-up; NaN
            if the loss cannot be computed of these images, as PKD of a pooled level of one image.
        attention (Tensor, optional): The maps with which ABF weighs the level itself and the coarser residual,
            ``[N, 2, h, w]``; None where no ABF fuses two maps. Defaults to None.
    """

    student: Tensor
    teacher: Tensor
    distance: Tensor
    attention: Tensor | None = None


@torch.no_grad()
def level_views(
        distiller: ReviewDistiller, inputs: Tensor, data_samples: list | None = None) -> tuple[LevelView, ...]:
    """Compute what a distiller compares at each level, in eval mode, and leave it as it was.

    Weights, running statistics, training flags and the global random state do not change.

    Args:
        distiller (ReviewDistiller): The distiller, its teacher loaded.
        inputs (Tensor): The batch after the data preprocessor, ``[N, C, H, W]``.
        data_samples (list, optional): Its data samples. Defaults to None.

    Returns:
        tuple[LevelView, ...]: One view for each output of the connector, fine to coarse; none if only logits are
        distilled.
    """
    if distiller.distill_loss is None:
        return ()
    with preserved_random_state(), _in_eval_mode(distiller):
        targets = distiller.frozen_teacher.levels(inputs, data_samples)
        seen = distiller.student_probe
        with distiller.taps.record(distiller.student, inputs, stop_after=seen.calls) as recording:
            run_entry(distiller.student, inputs, data_samples, seen.entry)
        features = recording.features()
        if distiller.logit_loss is not None:
            features, targets = features[:-1], targets[:-1]
        attention: Sequence[Tensor | None] = [None] * len(features)
        if distiller.connector is not None:
            sizes = [tuple(target.shape[-2:]) for target in targets]
            attention = attention_maps(distiller.connector, features, sizes)
            features = distiller.connector.forward(features, sizes)  # not a compiled call, which would compile again
            targets = connector_targets(distiller.connector, targets)
        distances = [_distance(distiller.distill_loss, *pair) for pair in zip(features, targets)]
        weight = getattr(distiller.distill_loss, 'loss_weight', 1.0) or 1.0
        return tuple(
            LevelView(student, teacher, distance / weight, maps) for student, teacher, distance, maps in zip(
                features, targets, distances, [*attention, *[None] * (len(features) - len(attention))]))


def _distance(distill_loss: nn.Module, feature: Tensor, target: Tensor) -> Tensor:
    """The scalar loss of one level, ``[N, O, H, W]`` each; NaN where a channel has too few values for it."""
    try:
        return distill_loss([feature], [target])
    except ValueError:
        return target.new_full((), float('nan'))


@torch.no_grad()
def level_losses(
        distill_loss: nn.Module, features: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Compute a distillation loss for each level alone, weight included.

    Args:
        distill_loss (nn.Module): The loss between the connector's outputs and the teacher's features.
        features (Sequence[Tensor]): The connector's outputs, ``[N, O_k, H_k, W_k]``.
        targets (Sequence[Tensor]): The teacher's features, of the same shapes.

    Returns:
        tuple[Tensor, ...]: One scalar a level; the losses of this package are the sum of these.
    """
    return tuple(distill_loss([feature], [target]) for feature, target in zip(features, targets))


@torch.no_grad()
def attention_maps(
        connector: nn.Module, student_features: Sequence[Tensor],
        target_sizes: Sequence[tuple[int, int]]) -> tuple[Tensor | None, ...]:
    """Compute the attention maps of a review path (paper, Sec. 3.3).

    Args:
        connector (nn.Module): A :class:`~mmreviewkd.models.ReviewConnector`; any other has no attention.
        student_features (Sequence[Tensor]): ``[N, C_k, h_k, w_k]`` per level, fine to coarse.
        target_sizes (Sequence[tuple[int, int]]): ``(H_k, W_k)`` of the teacher's features.

    Returns:
        tuple[Tensor | None, ...]: Per level the weights of the level's own map and of the coarser residual,
        ``[N, 2, h_k, w_k]``; None where there is no attention, as at the coarsest level.
    """
    maps: list[Tensor | None] = []
    residual = None
    for level in reversed(range(len(student_features))):
        if not isinstance(connector, ReviewConnector) or connector.fusion != 'abf':
            maps.append(None)
            continue
        block, feature = connector.blocks[level], student_features[level]
        maps.append(block.attention(feature, residual))
        _, residual = block(feature, residual, target_sizes[level])
    return tuple(reversed(maps))


@contextlib.contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        model.train()  # lets networks drop what they derive from their weights in eval()
        for module, training in flags:
            module.training = training
