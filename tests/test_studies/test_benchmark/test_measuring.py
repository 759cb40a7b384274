"""Bytes, FLOPs and times of a step are those that can be counted by hand."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmreviewkd.ops.compiled.products import add_centered_product, scatter, transposed_product
from mmreviewkd.ops.compiled.winograd import add_weight_gradient, winograd_convolution
from mmreviewkd.studies.benchmark import measuring

CPU = torch.device('cpu')


def convolve(module, inputs):
    return module(inputs).sum()


def test_flops_of_forward_and_backward_pass():
    image = torch.zeros(2, 3, 8, 8)
    forward = 2 * (2 * 4 * 6 * 6) * (3 * 3 * 3)
    # The weights' gradient costs as much as the forward pass; so does the input's, where it is needed.
    assert measuring.flops(partial(convolve, nn.Conv2d(3, 4, 3), image)) == 2 * forward
    assert measuring.flops(partial(convolve, nn.Conv2d(3, 4, 3), image.requires_grad_())) == 3 * forward


def test_grouped_convolutions_cost_their_share():
    depthwise = partial(convolve, nn.Conv2d(8, 8, 3, groups=8), torch.zeros(1, 8, 10, 10))
    assert measuring.flops(depthwise) == 2 * 2 * (8 * 8 * 8) * 9


def test_flops_of_compiled_products_and_convolutions():
    rows, weight = torch.ones(2, 7, 5, 3), torch.ones(4, 3, 3, 3)
    product = 2 * 36 * (2 * 2 * 2) * 3 * 4  # of 2x2 tiles of two images, for each of 36 points

    def step():
        add_weight_gradient(weight, rows, winograd_convolution(rows, weight))
        transposed_product(torch.ones(10, 3), torch.ones(10, 5))
        scatter(torch.ones(10, 3), torch.ones(3))  # one half of [3, 3]
        add_centered_product(torch.ones(10, 3), torch.ones(10, 3), torch.ones(3), torch.ones(3, 3), torch.ones(3))
        return torch.ones(1, requires_grad=True).sum()

    assert measuring.flops(step) == 2 * product + 2 * 10 * (3 * 5 + 6 + 3 * 3)


def test_counting_flops_adds_no_hooks_to_modules():
    """A level of the review path with hooks would be computed by its modules."""
    seen = []

    class Watched(nn.Linear):
        def forward(self, x):
            seen.append(len(self._forward_hooks) + len(self._forward_pre_hooks))
            return super().forward(x)

    measuring.flops(partial(convolve, Watched(2, 2), torch.zeros(1, 2)))
    assert seen == [0]
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_a_step_is_timed_with_its_backward_pass_and_without_old_gradients():
    linear = nn.Linear(2, 1, bias=False)
    step = partial(convolve, linear, torch.ones(1, 2))
    for _ in range(2):
        assert 0 < measuring.seconds(step, CPU) < 5
        assert linear.weight.grad.tolist() == [[1, 1]]
    assert measuring.peak_bytes(step, CPU) is None


def heavy(module, inputs):
    return sum(convolve(module, F.relu(inputs + i)) for i in range(20))


@pytest.mark.parametrize(('columns', 'base'), [
    ({'floor, a': convolve, 'floor, b': heavy, 'ours': heavy}, 'floor, a'),
    ({'textbook, NCHW': heavy, 'ours, NCHW': convolve}, 'textbook, NCHW')])
def test_figures_are_ratios_to_the_faster_floor_or_to_the_textbook(columns, base):
    image = torch.zeros(4, 3, 32, 32)
    rows = measuring.measure(
        {name: partial(step, nn.Conv2d(3, 8, 3), image) for name, step in columns.items()}, 3, CPU)
    assert [name for name, row in rows.items() if row.get('base')] == [base]
    assert rows[base]['time'] == rows[base]['kept'] == rows[base]['arithmetic'] == 1
    for name, step in columns.items():
        ratio = (20 if step is heavy else 1) / (20 if columns[base] is heavy else 1)
        assert rows[name]['arithmetic'] == pytest.approx(ratio)
        assert (rows[name]['time'] > 1) == (ratio > 1) or ratio == 1


def test_the_machine_is_described():
    found = measuring.machine(CPU)
    assert found['threads'] == torch.get_num_threads() and found['torch'] == torch.__version__
    assert found['cpu'] and found['device'] == 'cpu'
