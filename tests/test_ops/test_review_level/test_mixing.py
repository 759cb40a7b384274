"""Each step of fusing a chunk against ABF, and against its adjoint."""

import pytest
import torch
from adjoint import assert_adjoint, normal

from mmreviewkd.ops import attention_based_fusion
from mmreviewkd.ops.review_level.folding import Folded, fold_attention
from mmreviewkd.ops.review_level.layout import coarse_rows
from mmreviewkd.ops.review_level.mixing import (
    MixGradients,
    attend,
    attend_adjoint,
    fuse,
    fuse_adjoint,
    weigh,
    weigh_adjoint,
)

IN, MID, BATCH = 2, 3, 2
SIZES = [((4, 6), (2, 3)), ((5, 7), (3, 4)), ((7, 7), (1, 1)), ((1, 1), (1, 1)), ((2, 16), (1, 2)), ((3, 5), (3, 5))]


def small_tensors():
    affine, bias = normal(MID, IN + 1, seed=1), normal(2, seed=2)
    weight = normal(2, 2 * MID, seed=3)
    return Folded(affine, *fold_attention(affine, weight, bias), ()), weight, bias


def zeros(folded):
    return Folded(*(torch.zeros_like(t) for t in folded[:3]), ())


def chunk(size, coarse):
    rows, residual = normal(BATCH, *size, IN, seed=4), normal(BATCH, MID, *coarse, seed=5)
    return rows, coarse_rows(residual, size, torch.float64), residual


@pytest.mark.parametrize(('size', 'coarse'), SIZES)
def test_the_steps_together_are_attention_based_fusion(size, coarse):
    folded, weight, bias = small_tensors()
    rows, repeated, residual = chunk(size, coarse)
    z = attend(rows, repeated, folded)
    fused = fuse(weigh(rows, z, torch.float64), z, repeated, folded)
    x = (rows @ folded.affine[:, :-1].t() + folded.affine[:, -1]).permute(0, 3, 1, 2)
    expected = attention_based_fusion(x, residual, weight[:, :, None, None], bias)
    torch.testing.assert_close(fused.permute(0, 3, 1, 2), expected)
    torch.testing.assert_close(fuse(weigh(rows, None, torch.float64), None, None, folded).permute(0, 3, 1, 2), x)


@pytest.mark.parametrize(('size', 'coarse'), SIZES)
def test_adjoint_of_attend(size, coarse):
    folded, _, _ = small_tensors()
    rows, repeated, _ = chunk(size, coarse)

    def forward(rows, coarse, attention, coarse_attention):
        return attend(rows, coarse, folded._replace(attention=attention, coarse_attention=coarse_attention))

    def backward(grad, rows, coarse, attention, coarse_attention):
        tensors = folded._replace(attention=attention, coarse_attention=coarse_attention)
        grads, grad_rows = zeros(tensors), torch.zeros_like(rows)
        z = attend(rows, coarse, tensors)
        grad_coarse = attend_adjoint(grad, z, rows, coarse, tensors, grads, grad_rows)
        return grad_rows, grad_coarse, grads.attention, grads.coarse_attention

    assert_adjoint(forward, backward, [rows, repeated, folded.attention, folded.coarse_attention], fast=True)


@pytest.mark.parametrize('size', [(5, 7), (1, 1)])
def test_adjoint_of_weigh(size):
    def backward(grad, rows, z):
        grad_rows = torch.empty_like(rows)
        # The second map is no part of y: its gradient is handed through.
        mix = MixGradients(grad[..., :-1], grad[..., -1], torch.zeros_like(z[1]))
        return grad_rows, weigh_adjoint(mix, rows, z, grad_rows)[:1].expand(2, -1, -1, -1) * torch.tensor(
            [1.0, 0.0], dtype=torch.float64)[:, None, None, None]

    assert_adjoint(
        lambda rows, z: weigh(rows, z, torch.float64), backward, [normal(1, *size, IN), normal(2, 1, *size, seed=1)])


@pytest.mark.parametrize('overwrite', [False, True])
@pytest.mark.parametrize(('size', 'coarse'), SIZES)
def test_adjoint_of_fuse(size, coarse, overwrite):
    folded, _, _ = small_tensors()
    rows, repeated, _ = chunk(size, coarse)
    z1 = normal(BATCH, *size, seed=6)

    def forward(weighted, z1, coarse, affine):
        return fuse(weighted, torch.stack((z1, z1)), coarse, folded._replace(affine=affine))

    def backward(grad, weighted, z1, coarse, affine):
        tensors = folded._replace(affine=affine)
        grads = zeros(tensors)
        given = grad.clone()
        mix = fuse_adjoint(given, weighted, torch.stack((z1, z1)), coarse, tensors, grads, overwrite)
        assert overwrite or torch.equal(given, grad)
        grad_weighted = torch.cat((mix.own, mix.own_attention.unsqueeze(-1)), -1)
        return grad_weighted, mix.coarse_attention, mix.coarse, grads.affine

    weighted = weigh(rows, normal(2, BATCH, *size, seed=7), torch.float64)
    assert_adjoint(forward, backward, [weighted, z1, repeated, folded.affine], fast=True)


def test_gradients_through_output_and_fused_map_are_added():
    one, two = normal(2), normal(2, seed=1)
    total = MixGradients(own=one.clone(), coarse=two).plus(MixGradients(own=two, own_attention=one))
    torch.testing.assert_close(total.own, one + two)
    assert total.own_attention is one and total.coarse is two and total.coarse_attention is None
