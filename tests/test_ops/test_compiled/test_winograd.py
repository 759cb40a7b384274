"""The compiled Winograd convolution is a convolution, with its gradients."""

import pytest
import torch
import torch.nn.functional as F
from adjoint import normal
from threads import with_threads

from mmreviewkd.ops.compiled import compiled_functions, winograd
from mmreviewkd.ops.compiled.winograd import add_weight_gradient, winograd_convolution

# Images, height, width, channels: whole and partial tiles, whole and partial vectors, single pixels.
CASES = [
    ((2, 8, 12), 16, 32), ((2, 7, 6), 5, 3), ((1, 9, 13), 65, 40), ((3, 1, 1), 16, 48), ((2, 5, 4), 33, 17),
    ((1, 30, 3), 1, 1), ((5, 4, 4), 20, 64), ((1, 2, 11), 64, 15), ((2, 6, 5), 130, 70)]
cases = pytest.mark.parametrize(('size', 'channels', 'out'), CASES)


@pytest.fixture(autouse=True, scope='module')
def _compiled():
    assert compiled_functions() is not None, 'the tests need a C++ compiler'


@pytest.fixture(params=['as they fit', 'few tiles at a time', 'by groups', 'few tiles by groups'])
def _parts(request, monkeypatch):
    """The parts that are computed at a time."""
    tiles = 3 if 'few' in request.param else 2**20
    sizes = winograd.CacheSizes(
        tiles, tiles, 0 if 'groups' in request.param else 2**30, (48, 32) if 'few' in request.param else (112, 64))
    monkeypatch.setattr(winograd, '_cache_sizes', lambda: sizes)
    if 'few' in request.param:
        for name in ('LEAST_TILES', 'LEAST_SHARED_TILES'):
            monkeypatch.setattr(winograd, name, 3)


def inputs(size, channels, out):
    rows, weight = normal(*size, channels), normal(out, channels, 3, 3, seed=1)
    return rows.float(), weight.float(), normal(*size, out, seed=2).float(), normal(out, seed=3).float()


def convolution(rows, weight, bias=None):
    return F.conv2d(rows.permute(0, 3, 1, 2), weight, bias, padding=1).permute(0, 2, 3, 1)


def expected(rows, weight, grad):
    """The convolution and its gradients in double precision."""
    rows, weight = rows.double().requires_grad_(), weight.double().requires_grad_()
    output = convolution(rows, weight)
    return output.detach(), *torch.autograd.grad(output, (rows, weight), grad.double())


def found(rows, weight, grad):
    total = torch.zeros_like(weight)
    if not weight.is_contiguous(memory_format=torch.channels_last):
        total = total.contiguous()
    return (
        winograd_convolution(rows, weight), winograd_convolution(grad, weight, adjoint=True),
        add_weight_gradient(total, rows, grad))


def assert_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=2e-5 * float(b.abs().max()))


@cases
@pytest.mark.usefixtures('_parts')
def test_equals_conv2d_with_its_gradients(size, channels, out):
    rows, weight, grad, bias = inputs(size, channels, out)
    assert_close(found(rows, weight, grad), expected(rows, weight, grad))
    with_bias = winograd_convolution(rows, weight, bias)
    assert_close([with_bias], [convolution(rows.double(), weight.double(), bias.double())])


def test_gradients_of_the_weight_are_summed():
    rows, weight, grad, _ = inputs(*CASES[2])
    total = weight.clone()
    assert add_weight_gradient(add_weight_gradient(total, rows, grad), 2 * rows, grad) is total
    assert_close([total], [weight.double() + 3 * expected(rows, weight, grad)[2]])


@pytest.mark.parametrize('kernels', [0, 2**30])
@pytest.mark.parametrize('sizes', [winograd.AMD, winograd.OTHERS], ids=['AMD', 'others'])
def test_any_number_of_threads_and_any_batch_computes_the_same(kernels, sizes, monkeypatch):
    monkeypatch.setattr(winograd, '_cache_sizes', lambda: sizes._replace(kernel_bytes=kernels))
    rows, weight, grad, _ = inputs((6, 15, 13), 41, 37)
    one, three = (with_threads(number, lambda: found(rows, weight, grad)) for number in (1, 3))
    for a, b in zip(one, three):
        assert torch.equal(a, b)
    for whole, part in zip(one[:2], found(rows[4:], weight, grad[4:])):
        assert torch.equal(whole[4:], part)


@pytest.mark.parametrize('lay_out', [
    lambda weight: weight.transpose(2, 3), lambda weight: weight.contiguous(memory_format=torch.channels_last),
    lambda weight: weight.transpose(0, 1).contiguous().transpose(0, 1)], ids=['transposed', 'channels_last', 'adjoint'])
def test_tensors_that_are_not_contiguous_are_read_as_they_are(lay_out):
    rows, weight, grad, _ = inputs((2, 8, 8), 6, 7)
    rows, weight, grad = rows.transpose(1, 2), lay_out(weight), grad.transpose(1, 2)
    assert_close(found(rows, weight, grad), expected(rows, weight, grad))


def test_a_gradient_with_uneven_taps_is_refused():
    rows, weight, grad, _ = inputs((1, 4, 4), 3, 2)
    with pytest.raises(ValueError, match='contiguous or channels_last'):
        add_weight_gradient(torch.zeros_like(weight).transpose(2, 3), rows, grad)


def test_an_empty_batch():
    rows, weight = torch.zeros(0, 8, 8, 4), torch.ones(3, 4, 3, 3)
    output = winograd_convolution(rows, weight)
    assert output.shape == (0, 8, 8, 3) and torch.equal(add_weight_gradient(weight.clone(), rows, output), weight)
