"""Compiled products of matrices with many rows."""

import pytest
import torch
from adjoint import normal
from threads import with_threads

from mmreviewkd.ops.compiled import compiled_functions, products
from mmreviewkd.ops.compiled.products import add_centered_product, scatter, transposed_product

# Rows, M, O: whole and partial vectors, groups of channels and chunks of rows.
CASES = [(1, 1, 1), (50, 2, 64), (300, 65, 16), (300, 17, 65), (130, 240, 33), (64, 14, 47)]


@pytest.fixture(autouse=True)
def _chunks(monkeypatch):
    assert compiled_functions() is not None, 'the tests need a C++ compiler'
    monkeypatch.setattr(products, 'LEAST_ROWS', 64)


@pytest.mark.parametrize(('rows', 'left', 'right'), CASES)
def test_equals_the_product(rows, left, right):
    a, b = normal(rows, left), normal(rows, right, seed=1)
    torch.testing.assert_close(transposed_product(a.float(), b.float()).double(), a.t() @ b, rtol=1e-5, atol=1e-4)


def test_of_no_rows_is_zero():
    assert not transposed_product(torch.ones(0, 3), torch.ones(0, 20)).any()


def test_any_number_of_threads_computes_the_same():
    a, b = normal(500, 40).float(), normal(500, 50, seed=1).float()
    mean, symmetric = a.mean(0), a.t() @ a

    def compute():
        return transposed_product(a, b), scatter(a, mean), add_centered_product(a.clone(), a, mean, symmetric, mean)

    assert all(map(torch.equal, with_threads(1, compute), with_threads(3, compute)))


@pytest.mark.parametrize(('rows', 'channels'), [(1, 1), (50, 16), (300, 65), (57, 33), (700, 130)])
def test_products_of_deviations_from_the_mean(rows, channels):
    values, mean, total = 2 * normal(rows, channels) + 3, normal(channels, seed=1), normal(rows, channels, seed=2)
    matrix, offset = normal(channels, channels, seed=3), normal(channels, seed=4)
    matrix = matrix + matrix.t()
    centered = values - mean
    found = scatter(values.float(), mean.float()).double()
    torch.testing.assert_close(found, centered.t() @ centered, rtol=1e-5, atol=1e-3)
    assert torch.equal(found, found.t())
    expected = total + centered @ matrix + offset
    single = [t.float() for t in (total, values, mean, matrix, offset)]
    assert add_centered_product(*single) is single[0]
    torch.testing.assert_close(single[0].double(), expected, rtol=1e-5, atol=1e-4)
