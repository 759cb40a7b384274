"""Products by either library: the same values, whatever the strides."""

import pytest
import torch

from mmreviewkd.ops.review_level import matmul as matmul_module
from mmreviewkd.ops.review_level.matmul import (
    add_matmul,
    add_transposed_batch_matmul,
    add_transposed_matmul,
    batch_matmul,
    matmul,
)

SHAPES = [(4096, 33, 64), (4096, 64, 33), (2048, 256, 2), (2048, 2, 256), (5, 3, 4)]


@pytest.fixture(params=['mkl', 'onednn'])
def library(request, monkeypatch):
    if request.param == 'onednn' and not torch.backends.mkldnn.is_available():
        pytest.skip('PyTorch is built without oneDNN')
    monkeypatch.setattr(matmul_module, 'onednn_pays', lambda: request.param == 'onednn')
    return request.param


def values(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_product(found, expected):
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize(('p', 'm', 'o'), SHAPES)
def test_products(library, p, m, o):
    a, b, grad = values(p, m), values(m, o, seed=1), values(p, o, seed=2)
    expected = a.double() @ b.double()
    assert_product(matmul(a, b), expected)
    assert_product(matmul(a.view(p, 1, m), b)[:, 0], expected)
    total = grad.clone()
    assert add_matmul(total, a, b) is total
    assert_product(total, expected + grad.double())
    total = b.clone()
    assert add_transposed_matmul(total, a, grad) is total
    assert_product(total, a.double().t() @ grad.double() + b.double())


@pytest.mark.parametrize(('p', 'm', 'o'), SHAPES)
def test_products_of_parts_of_wider_matrices_and_of_transposed_ones(library, p, m, o):
    a, b, grad = values(p, m + 1)[:, :-1], values(m, o + 3, seed=1)[:, 2:-1], values(o, p, seed=2).t()
    assert_product(matmul(a, b), a.double() @ b.double())
    assert_product(matmul(a, b.t().contiguous().t()), a.double() @ b.double())
    total = torch.zeros(m, o + 1)
    add_transposed_matmul(total[:, :-1], a, grad)
    assert_product(total[:, :-1], a.double().t() @ grad.double())
    assert not total[:, -1].any()


@pytest.mark.parametrize(('p', 'm', 'o'), SHAPES)
def test_batches_of_products(library, p, m, o):
    a, b, grad = values(3, p, m), values(3, m, o, seed=1), values(3, p, o, seed=2)
    out = torch.full((3, p, o), torch.nan)
    assert_product(batch_matmul(a, b), a.double() @ b.double())
    batch_matmul(a, b, out=out)
    assert_product(out, a.double() @ b.double())
    expected = a.double().transpose(1, 2) @ grad.double()
    total = add_transposed_batch_matmul(None, a, grad)
    assert_product(total, expected)
    assert add_transposed_batch_matmul(total, a, grad) is total
    assert_product(total, 2 * expected)


def test_other_types_are_multiplied_by_pytorch(library):
    a, b = values(512, 64).double(), values(64, 64, seed=1).double()
    assert torch.equal(matmul(a, b), a @ b)
    total = torch.zeros(64, 64)
    add_transposed_matmul(total, a.bfloat16(), a.bfloat16())
    assert_product(total, (a.bfloat16().t() @ a.bfloat16()).double())


def test_onednn_can_be_disabled(library):
    a, b = values(512, 64), values(64, 64, seed=1)
    with torch.backends.mkldnn.flags(enabled=False):
        assert torch.equal(matmul(a, b), a @ b)
