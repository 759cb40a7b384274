"""The review part under autocast, at the norms that features of real networks have."""

import copy

import pytest
import torch

from mmreviewkd.models import FeatureL2Loss, HierarchicalContextLoss, LogitDistillationLoss, ReviewConnector
from mmreviewkd.models.distillers.comparison import distillation_loss

CHANNELS, TARGETS, SIZES = [8, 16], [6, 8], [(12, 10), (6, 5)]


def maps(channels, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(4, c, *size, generator=generator) for c, size in zip(channels, SIZES)]


def connector_of(implementation):
    torch.manual_seed(0)
    return ReviewConnector(CHANNELS, TARGETS, 16, implementation=implementation)


def results(implementation, scale, autocast=None, dtype=torch.float32, grad_scale=1.0, feature_dtype=None):
    connector = connector_of(implementation).to(dtype)
    features = [f.to(feature_dtype or dtype).requires_grad_() for f in maps(CHANNELS, 1, scale)]
    targets = [t.to(autocast or dtype) for t in maps(TARGETS, 2, scale)]
    with torch.autocast('cpu', autocast or torch.bfloat16, enabled=autocast is not None):
        loss = distillation_loss(connector, HierarchicalContextLoss(), features, targets)
    (grad_scale * loss).backward()
    assert loss.dtype == dtype
    values = {'loss': loss.detach(), **dict(connector.named_buffers())}
    values.update({f'feature {i}': f.grad.double() / grad_scale for i, f in enumerate(features)})
    values.update({name: p.grad / grad_scale for name, p in connector.named_parameters()})
    return {name: value.double() for name, value in values.items() if value.is_floating_point()}


def error(actual, expected):
    return ((actual - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize('autocast', [
    pytest.param(torch.float16, marks=pytest.mark.skipif(
        not hasattr(torch.amp, 'GradScaler'), reason='torch 2.1 has no autocast to float16 on CPUs')),
    torch.bfloat16])
@pytest.mark.parametrize('scale', [1.0, 1e3, 1e4])
@pytest.mark.parametrize('half_features', [False, True])
def test_is_as_precise_as_the_modules(autocast, scale, half_features):
    exact = results('plain', scale, dtype=torch.float64)
    # A GradScaler's factor, for gradients that float16 can hold.
    feature_dtype = autocast if half_features else None
    plain, fast = (
        results(way, scale, autocast, grad_scale=1024.0 / scale, feature_dtype=feature_dtype)
        for way in ('plain', 'fast'))
    for name, value in exact.items():
        assert torch.isfinite(fast[name]).all(), name
        assert error(fast[name], value) < 2 * error(plain[name], value) + 0.01, name


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('norm', [1e3, 1e4])
def test_losses_of_half_precision_are_single_and_finite(dtype, norm):
    students, teachers = (
        [m.to(dtype).requires_grad_(seed == 1) for m in maps(TARGETS, seed, norm)] for seed in (1, 2))
    logits = students[0].mean((2, 3)), teachers[0].mean((2, 3))
    for value, exact in (
            (HierarchicalContextLoss()(students, teachers),
             HierarchicalContextLoss()([s.double() for s in students], [t.double() for t in teachers])),
            (FeatureL2Loss()(students, teachers),
             FeatureL2Loss()([s.double() for s in students], [t.double() for t in teachers])),
            (LogitDistillationLoss()(*logits), LogitDistillationLoss()(*(v.double() for v in logits)))):
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact.item(), rel=1e-3)


def trained(implementation):
    """Three steps, of which the first overflows and is skipped."""
    connector, scaler = connector_of(implementation), torch.amp.GradScaler('cpu', init_scale=2.0**125)
    optimizer = torch.optim.SGD(connector.parameters(), 0.1)
    states = [copy.deepcopy(connector.state_dict())]
    for step in range(3):
        loss = distillation_loss(connector, HierarchicalContextLoss(), maps(CHANNELS, step), maps(TARGETS, 9))
        optimizer.zero_grad()
        scaler.scale(loss * (1e3 if step == 0 else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update(1024.0 if step == 0 else None)
        states.append(copy.deepcopy(connector.state_dict()))
    return states


@pytest.mark.skipif(not hasattr(torch.amp, 'GradScaler'), reason='torch 2.1 scales gradients on GPUs only')
def test_a_skipped_step_counts_for_the_statistics_as_it_does_with_the_modules():
    """Running statistics belong to the forward pass; a step that a GradScaler skips keeps the parameters only."""
    plain, fast = trained('plain'), trained('fast')
    for name, value in fast[1].items():
        assert torch.equal(value, fast[0][name]) == name.endswith(('weight', 'bias')), name
    assert not torch.equal(fast[1]['blocks.0.conv2.0.weight'], fast[2]['blocks.0.conv2.0.weight'])
    for state, expected in zip(fast, plain):
        for name, value in expected.items():
            torch.testing.assert_close(state[name], value, rtol=1e-3, atol=1e-5, msg=name)
    assert fast[-1]['blocks.0.conv1.1.num_batches_tracked'] == 3
