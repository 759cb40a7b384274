"""Connector and loss compiled as one graph compute what they compute without a compiler."""

import copy

import pytest
import torch
from conftest import gray_batch, review_config
from mmengine.registry import MODELS

from mmreviewkd.models import ReviewConnector
from mmreviewkd.models.distillers.compiled_review import CompiledReview, pays_compiled

CPU, GPU = torch.device('cpu'), torch.device('cuda', 0)
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
    assert compiled._review(CPU) is not None and expected._review(CPU) is None
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


def test_the_fast_way_is_compiled_only_where_it_may_be_slower():
    connectors = {
        kind: ReviewConnector([8, 8], [8, 8], implementation=kind) for kind in ('plain', 'auto', 'fast')}
    connectors['memory'] = ReviewConnector([8, 8], [8, 8], prefer='memory')
    connectors['with_cp'] = ReviewConnector([8, 8], [8, 8], implementation='plain', with_cp=True)
    assert [kind for kind, connector in connectors.items() if pays_compiled(connector, CPU)] == ['plain']
    assert [kind for kind, connector in connectors.items() if pays_compiled(connector, GPU)] == ['plain', 'auto']


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
