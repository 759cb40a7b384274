"""Gradient norms of single losses, without a trace in the training step."""

import torch
from torch import nn

from mmreviewkd.models.distillers.loss_gradients import gradient_norms


def two_losses():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Linear(2, 2))
    model[3].requires_grad_(False)
    output = model(torch.randn(5, 4))
    return model, dict(a=output.square().mean(), b=3 * output.abs().sum(), none=torch.tensor(1.0))


def test_norms_are_those_of_separate_backward_passes():
    model, losses = two_losses()
    norms = gradient_norms(losses, model.parameters())
    for name in ('a', 'b'):
        model.zero_grad()
        two = two_losses()
        two[1][name].backward()
        expected = torch.cat([p.grad.flatten() for p in two[0].parameters() if p.requires_grad]).norm()
        torch.testing.assert_close(norms[name], expected)
    assert norms['none'] == 0


def test_the_step_that_follows_is_the_same_bit_for_bit():
    gradients = []
    for looked in (False, True):
        model, losses = two_losses()
        if looked:
            gradient_norms(losses, model.parameters())
            assert all(p.grad is None for p in model.parameters())
        (losses['a'] + losses['b']).backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    assert all(torch.equal(one, other) for one, other in zip(*gradients))


def test_a_scale_keeps_small_gradients_of_half_precision():
    weight = nn.Parameter(torch.ones(1, dtype=torch.float16))
    loss = (weight * 2**-20).sum() * 2**-10
    assert gradient_norms(dict(a=loss), [weight])['a'] == 0
    assert gradient_norms(dict(a=loss), [weight], scale=2.0**15)['a'] == 2**-30
