"""Compiled products of matrices with many rows."""

import pytest
import torch
from adjoint import normal

from mmreviewkd.ops.compiled import compiled_functions, products
from mmreviewkd.ops.compiled.products import transposed_product

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
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = transposed_product(a, b)
        torch.set_num_threads(3)
        three = transposed_product(a, b)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, three)
