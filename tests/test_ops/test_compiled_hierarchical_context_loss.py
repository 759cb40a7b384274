"""HCL through the normalization by compiled functions, against the definition in double precision."""

import pytest
import torch
from adjoint import normal
from threads import with_threads

from mmreviewkd.ops import fast_level_hcl, level_hcl
from mmreviewkd.ops.compiled import compiled_functions
from mmreviewkd.ops.compiled_hierarchical_context_loss import has_large_cells
from mmreviewkd.ops.review_level import BatchNorm, Unnormalized

SIZES = [(8, 8), (7, 7), (5, 7), (4, 4), (1, 8), (12, 9), (40, 30)]


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    assert compiled_functions() is not None, 'the tests need a C++ compiler'
    module = fast_level_hcl.__globals__
    monkeypatch.setitem(module, 'has_large_cells', lambda *_: True)
    monkeypatch.setitem(module, 'normalize', lambda *_: pytest.fail('computed by tensor operations'))


def maps_teacher_and_norm(size, channels, from_batch=True):
    maps, teacher = 3 * normal(2, channels, *size) + 1, normal(2, channels, *size, seed=1)
    weight, bias = 1 + 0.3 * normal(channels, seed=2), normal(channels, seed=3)
    norm = BatchNorm(weight, bias, torch.full_like(bias, 0.3), torch.full_like(bias, 1.5), from_batch, 0.1, 1e-5)
    return maps.contiguous(memory_format=torch.channels_last), teacher, norm


def results(hcl, dtype, maps, teacher, norm, teacher_format=torch.contiguous_format):
    """The loss, its gradients, and the running statistics."""
    norm = norm._replace(
        **{name: v.detach().to(dtype, copy=True) for name, v in norm._asdict().items() if torch.is_tensor(v)})
    inputs = [t.detach().to(dtype).requires_grad_() for t in (maps, norm.weight, norm.bias)]
    norm = norm._replace(weight=inputs[1], bias=inputs[2])
    loss = hcl(Unnormalized(inputs[0], norm), teacher.to(dtype).contiguous(memory_format=teacher_format))
    return [loss.detach(), *torch.autograd.grad(3 * loss, inputs), norm.running_mean, norm.running_var]


def definition(pool_sizes):
    def hcl(student, teacher):
        norm = student.norm
        output = torch.nn.functional.batch_norm(
            student.maps, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.from_batch, norm.momentum,
            norm.eps)
        return level_hcl(output, teacher, pool_sizes)
    return hcl


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('channels', [16, 5, 70])
@pytest.mark.parametrize('pool_sizes', [(4, 2, 1), (), (3,)])
@pytest.mark.parametrize('from_batch', [True, False])
def test_equals_the_definition(size, channels, pool_sizes, from_batch):
    arguments = maps_teacher_and_norm(size, channels, from_batch)
    expected = results(definition(pool_sizes), torch.float64, *arguments)
    for teacher_format in (torch.contiguous_format, torch.channels_last):
        found = results(
            lambda *maps: fast_level_hcl(*maps, pool_sizes), torch.float32, *arguments, teacher_format=teacher_format)
        for a, b in zip(found, expected):
            assert a.dtype == torch.float32
            assert (a - b).abs().max() <= 2e-6 * b.abs().max()


def test_any_number_of_threads_computes_the_same():
    arguments = maps_teacher_and_norm((13, 11), 37)
    one, three = (
        with_threads(number, lambda: results(fast_level_hcl, torch.float32, *arguments)) for number in (1, 3))
    assert all(map(torch.equal, one, three))


@pytest.mark.parametrize(('size', 'large'), [((8, 8), True), ((7, 7), False), ((13, 19), True), ((4, 4), True)])
def test_cells_of_few_pixels_do_not_pay(size, large):
    assert has_large_cells(torch.zeros(1, 1, *size), [s for s in (4, 2, 1) if s < size[0]]) is large


def test_the_gradient_along_the_normalized_map_cancels_to_more_than_single_precision():
    maps, teacher, norm = maps_teacher_and_norm((120, 160), 64)
    maps, norm = maps.float().double(), norm._replace(weight=torch.ones(64, dtype=torch.float64))
    found, expected = (
        results(hcl, dtype, maps, teacher, norm)[1].double() for hcl, dtype in (
            (fast_level_hcl, torch.float32), (definition((4, 2, 1)), torch.float64)))
    normalized = torch.nn.functional.batch_norm(maps, None, None, training=True)
    error = ((found - expected) * normalized).mean((0, 2, 3)) / expected.square().mean((0, 2, 3)).sqrt()
    assert error.mean().abs() < 1e-8
