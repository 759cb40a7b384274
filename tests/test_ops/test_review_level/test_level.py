"""A level against finite differences, for each convolution and odd sizes."""

import dataclasses

import pytest
import torch
from adjoint import normal

from mmreviewkd.ops.review_level import BatchNorm, LevelShape, Unnormalized, plan_level, review_level

IN, MID, OUT = 2, 3, 2
PLACES = {
    'blocks': ((4, 6), (4, 6), (2, 3)), 'odd': ((5, 7), (5, 7), (3, 4)), 'resized': ((3, 3), (7, 5), (3, 3)),
    'one pixel': ((1, 1), (1, 1), (1, 1)), 'coarsest': ((3, 5), (3, 5), None)}


def tensors(place):
    size, _, coarse = PLACES[place]
    batch = 8 if size == (1, 1) else 2
    attention = () if coarse is None else (normal(2, 2 * MID, 1, 1, seed=7), normal(2, seed=8))
    residual = () if coarse is None else (normal(batch, MID, *coarse, seed=1),)
    return [
        normal(batch, IN, *size), normal(MID, IN, 1, 1, seed=2), 1 + 0.1 * normal(MID, seed=3), normal(MID, seed=4),
        normal(OUT, MID, 3, 3, seed=5), 1 + 0.1 * normal(OUT, seed=6), normal(OUT, seed=9), *residual, *attention]


def level(place, convolution, *inputs, from_batch=True, is_finest=False, keeps_fused=True, covariance=True):
    size, target, coarse = PLACES[place]
    feature, conv1, gamma1, beta1, conv2, gamma2, beta2, *rest = inputs
    plan = plan_level(
        LevelShape(len(feature), IN, MID, OUT, size, target, coarse, is_finest), torch.device('cpu'), torch.float64,
        'fast')
    plan = dataclasses.replace(
        plan, convolution=convolution, images=3, keeps_fused=keeps_fused and convolution != 'composed',
        covariance=covariance)
    norms = [
        BatchNorm(gamma, beta, torch.full_like(beta, 0.3).detach(), torch.full_like(beta, 1.5).detach(), from_batch,
                  None, 1e-5)
        for gamma, beta in ((gamma1, beta1), (gamma2, beta2))]
    residual, attention = (rest[0], tuple(rest[1:])) if rest else (None, None)
    convolved, fused = review_level(feature, residual, conv1, norms[0], attention, conv2, plan)
    output = Unnormalized(convolved, norms[1]).normalized()
    return output if fused is None else (output, fused)


@pytest.mark.parametrize(('place', 'convolution'), [
    *((place, convolution) for place in PLACES for convolution in ('direct', 'winograd')), ('blocks', 'composed')])
@pytest.mark.parametrize('settings', [
    dict(), dict(is_finest=True, keeps_fused=False, covariance=False), dict(from_batch=False)], ids=str)
def test_gradients(place, convolution, settings):
    inputs = [t.requires_grad_() for t in tensors(place)]
    assert torch.autograd.gradcheck(lambda *args: level(place, convolution, *args, **settings), inputs, fast_mode=True)


@pytest.mark.parametrize('convolution', ['direct', 'composed', 'winograd'])
def test_the_fused_map_alone_may_have_a_gradient(convolution):
    inputs = [t.requires_grad_() for t in tensors('blocks')]
    assert torch.autograd.gradcheck(lambda *args: level('blocks', convolution, *args)[1], inputs, fast_mode=True)
