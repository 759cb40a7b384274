"""Connector and loss compiled as one graph compute what they compute without a compiler."""

import copy

import pytest
import torch
from conftest import gray_batch, review_config
from mmengine.registry import MODELS

from mmreviewkd.models.distillers.compiled_review import CompiledReview

PLAIN = dict(type='ReviewConnector', implementation='plain')


def build(**changes):
    torch.manual_seed(0)
    model = MODELS.build(review_config(**changes))
    model.init_weights()
    return model


def gradients(model, seed=0, size=8):
    data = model.data_preprocessor(gray_batch(size, seed=seed), True)
    losses = model(**data, mode='loss')
    model.zero_grad()
    model.parse_losses(losses)[0].backward()
    return losses['loss_distill'].detach(), [p.grad for p in model.parameters()]


def assert_same(compiled, expected, **batch):
    (ours, our_gradients), (theirs, their_gradients) = gradients(compiled, **batch), gradients(expected, **batch)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=0)
    largest = max(float(gradient.abs().max()) for gradient in their_gradients)  # some are zero but for rounding
    for a, b in zip(our_gradients, their_gradients):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()) + 1e-6 * largest)
    for name, buffer in expected.connector.named_buffers():
        torch.testing.assert_close(compiled.connector.get_buffer(name), buffer, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('changes', [
    dict(),
    dict(distill_loss=dict(type='FeatureL2Loss', loss_weight=2.0)),
    dict(distill_loss=dict(type='PearsonCorrelationLoss')),
    dict(distill_loss=dict(type='AttentionTransferLoss')),
    dict(connector=dict(PLAIN, fusion='add', kernel_size=1)),
    dict(connector=dict(type='PairwiseConnector')),
], ids=['HCL', 'L2', 'Pearson', 'attention transfer', 'add, 1x1', 'pairwise'])
def test_connectors_and_losses_may_be_compiled(changes):
    changes = {'connector': PLAIN, **changes}
    compiled, expected = build(compile=dict(backend='aot_eager'), **changes), build(**changes)
    assert compiled._compiled_review is not None and expected._compiled_review is None
    assert_same(compiled, expected)
    assert_same(compiled, expected, seed=1, size=4)


@pytest.mark.slow
def test_the_compiler_of_the_library_computes_the_same():
    compiled, expected = build(compile=True, connector=PLAIN), build(connector=PLAIN)
    assert_same(compiled, expected)


def test_autocast_keeps_the_loss_in_single_precision():
    compiled, expected = build(compile=dict(backend='aot_eager'), connector=PLAIN), build(connector=PLAIN)
    with torch.autocast('cpu', torch.bfloat16):
        (ours, _), (theirs, _) = gradients(compiled), gradients(expected)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0)


@pytest.mark.parametrize('connector', [
    dict(type='ReviewConnector'), dict(type='ReviewConnector', implementation='fast'), dict(PLAIN, with_cp=True)],
    ids=['auto', 'fast', 'with_cp'])
def test_what_a_graph_cannot_compute_as_asked_is_left_alone(connector):
    compiled, expected = build(compile=dict(backend='aot_eager'), connector=connector), build(connector=connector)
    assert compiled.frozen_teacher.compiled and compiled._compiled_review is None
    assert_same(compiled, expected)


def test_an_observer_sees_the_connectors_outputs():
    model, seen = build(compile=dict(backend='aot_eager'), connector=PLAIN), []
    expected, _ = gradients(model)
    model.observer = lambda losses, features, targets: seen.extend(zip(features, targets))
    found, _ = gradients(model)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    assert seen and all(feature.shape == target.shape for feature, target in seen)


def test_a_copy_runs_its_own_modules():
    model = build(compile=dict(backend='aot_eager'), connector=PLAIN)
    gradients(model)
    other = copy.deepcopy(model)
    assert isinstance(other._compiled_review, CompiledReview)
    gradients(other)
    assert all(p.grad is not None for p in other.connector.parameters())


@pytest.mark.parametrize('compile_', [False, dict(backend='aot_eager')])
def test_cuda_graphs_are_told_where_a_step_begins(compile_, monkeypatch):
    """Else those of the review would reuse the memory of the teacher's features."""
    model, begun = build(compile=compile_, connector=PLAIN), []
    monkeypatch.setattr(torch.compiler, 'cudagraph_mark_step_begin', lambda: begun.append(len(begun)))
    for step in range(2):
        gradients(model)
        assert len(begun) == (step + 1 if compile_ else 0)


def test_a_compiled_step_gives_no_warnings(recwarn):
    getattr(torch._dynamo.utils, 'warn_once_cache', set()).clear()
    torch._dynamo.reset()
    gradients(build(compile=dict(backend='aot_eager'), connector=PLAIN))
    assert not [str(warning.message) for warning in recwarn if '_dynamo' in warning.filename]
