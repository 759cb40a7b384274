"""The contract of connectors, kept by ours and by modules that know nothing of it."""

import pytest
import torch
from conftest import gray_batch, review_config
from mmengine.registry import MODELS
from torch import nn

from mmreviewkd.models import BaseConnector, PairwiseConnector, ReviewConnector, SameLevelConnector
from mmreviewkd.models.connectors.base_connector import connector_targets


class Foreign(nn.Module):
    """Regresses each level; has no ``targets``."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(in_channels, out_channels))

    def forward(self, student_features, target_sizes):
        return [
            nn.functional.interpolate(level(feature), size)
            for level, feature, size in zip(self.levels, student_features, target_sizes)]


class OnlyFinest(BaseConnector):
    """Maps the finest level, and compares nothing else."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.level = nn.Conv2d(in_channels[0], out_channels[0], 1)

    def forward(self, student_features, target_sizes):
        return (nn.functional.interpolate(self.level(student_features[0]), target_sizes[0]),)

    def targets(self, teacher_features):
        return tuple(teacher_features[:1])


@pytest.mark.parametrize(('connector', 'expected'), [
    (Foreign([1, 1], [1, 1]), (0, 1)), (OnlyFinest([1], [1]), (0,)), (ReviewConnector([1, 1], [1, 1]), (0, 1)),
    (SameLevelConnector([1, 1], [1, 1]), (0, 1)), (PairwiseConnector([1, 1], [1, 1]), (0, 0, 1))])
def test_targets(connector, expected):
    features = [torch.zeros(1), torch.ones(1)]
    assert [features.index(target) for target in connector_targets(connector, features)] == list(expected)


@pytest.mark.parametrize('kind', [Foreign, OnlyFinest])
def test_the_distiller_trains_with_any_of_them(kind):
    torch.manual_seed(0)
    distiller = MODELS.build(review_config(connector=dict(type=kind)))
    distiller.init_weights()
    losses = distiller(**distiller.data_preprocessor(gray_batch(), True), mode='loss')
    losses['loss_distill'].backward()
    assert all(p.grad is not None for p in distiller.connector.parameters())
