"""The loss of Pearson correlation from moments against its definition."""

import pytest
import torch
from adjoint import normal

from mmreviewkd.ops import fast_level_pearson, level_pearson, pearson_correlation_loss
from mmreviewkd.ops.review_level import BatchNorm, Unnormalized

SIZES = [(8, 8), (5, 7), (1, 1), (70, 60)]


def maps_and_norm(size, from_batch=True, momentum=None, dtype=torch.float64):
    maps = 3 * normal(2, 3, *size) + 1
    weight = torch.tensor([0.7, -1.3, 1e-3], dtype=torch.float64)  # a negative one turns the correlation around
    bias = normal(3, seed=2)
    norm = BatchNorm(weight, bias, torch.full_like(bias, 0.3), torch.full_like(bias, 1.5), from_batch, momentum, 1e-5)
    return maps.to(dtype), norm._replace(
        **{name: value.to(dtype) for name, value in norm._asdict().items() if isinstance(value, torch.Tensor)})


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_equals_the_definition(size, memory_format):
    student, teacher = (
        normal(2, 3, *size, seed=seed).contiguous(memory_format=memory_format) for seed in range(2))
    student.requires_grad_()
    losses = [function(student, teacher) for function in (fast_level_pearson, level_pearson)]
    torch.testing.assert_close(*losses, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(
        *(torch.autograd.grad(3 * loss, student)[0] for loss in losses), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('size', SIZES[:2])
def test_gradients(size):
    teacher = normal(2, 3, *size, seed=1)
    assert torch.autograd.gradcheck(
        lambda student: fast_level_pearson(student, teacher), normal(2, 3, *size).requires_grad_())


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('from_batch', [True, False])
@pytest.mark.parametrize('teacher_learns', [True, False])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_of_maps_before_their_normalization(size, from_batch, teacher_learns, memory_format):
    maps, norm = maps_and_norm(size, from_batch)
    teacher = normal(2, 3, *size, seed=3).contiguous(memory_format=memory_format).requires_grad_(teacher_learns)
    maps = maps.contiguous(memory_format=memory_format)
    inputs = [t.requires_grad_() for t in (maps, norm.weight, norm.bias)] + [teacher] * teacher_learns
    unnormalized = Unnormalized(maps, norm)
    losses = pearson_correlation_loss([unnormalized], [teacher]), level_pearson(unnormalized.normalized(), teacher)
    torch.testing.assert_close(*losses, rtol=1e-10, atol=1e-12)
    for actual, expected in zip(*(torch.autograd.grad(3 * loss, inputs) for loss in losses)):
        torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize('size', [(8, 8), (70, 60)])
def test_running_statistics_are_updated_once(size):
    maps, norm = maps_and_norm(size, momentum=0.1)
    maps = maps.contiguous(memory_format=torch.channels_last)
    running = norm.running_mean.clone(), norm.running_var.clone()
    fast_level_pearson(Unnormalized(maps, norm), normal(2, 3, *size, seed=3))
    torch.nn.functional.batch_norm(maps, *running, training=True, momentum=0.1)
    torch.testing.assert_close((norm.running_mean, norm.running_var), running)


@pytest.mark.parametrize('scale', [1e-3, 1.0, 1e4])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_rounding_of_single_precision(scale, memory_format):
    maps, norm = maps_and_norm((64, 64), dtype=torch.float32)
    maps = maps.contiguous(memory_format=memory_format)
    maps, teacher = (maps + 3) * scale, (normal(2, 3, 64, 64, seed=3).float() + 30) * scale
    found = []
    for dtype in (torch.float32, torch.float64):
        exact = norm._replace(
            **{name: v.to(dtype) for name, v in norm._asdict().items() if isinstance(v, torch.Tensor)})
        inputs = maps.to(dtype).requires_grad_(), exact.weight, exact.bias
        loss = fast_level_pearson(Unnormalized(inputs[0], exact), teacher.to(dtype))
        found.append((loss.double(), torch.autograd.grad(loss, inputs[0])[0].double()))
    (loss, grad), (expected, expected_grad) = found
    assert abs(loss - expected) < 2e-6
    assert (grad - expected_grad).norm() < 2e-5 * expected_grad.norm()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_one_map_is_kept(dtype):
    kept = []
    maps, norm = maps_and_norm((8, 8), dtype=torch.float32)
    maps = maps.to(dtype).requires_grad_()
    norm.weight.requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append((t.shape, t.dtype)) or t, lambda t: t):
        loss = fast_level_pearson(Unnormalized(maps, norm), normal(2, 3, 8, 8, seed=1).float())
        plain = fast_level_pearson(maps, normal(2, 3, 8, 8, seed=1).float())
    single = torch.float32
    assert kept == [(maps.shape, dtype), ((3,), single), ((3,), single), (maps.shape, dtype)]
    (loss + plain).backward()
    assert loss.dtype == torch.float32 and maps.grad.dtype == dtype


def test_nothing_is_kept_without_gradients():
    maps, norm = maps_and_norm((8, 8))
    maps.requires_grad_()
    with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(lambda t: pytest.fail('kept'), lambda t: t):
        assert fast_level_pearson(Unnormalized(maps, norm), maps.detach()) > 0
        assert fast_level_pearson(maps, normal(2, 3, 8, 8, seed=3)) > 0


def test_a_single_value_is_named():
    for function in (fast_level_pearson, level_pearson):
        with pytest.raises(ValueError, match=r'more than 1 value per channel to correlate.*\(1, 3, 1, 1\)'):
            function(torch.ones(1, 3, 1, 1), torch.ones(1, 3, 1, 1))


def test_channels_that_are_constant():
    maps, teacher = normal(2, 3, 8, 8), normal(2, 3, 8, 8)
    maps[:, 1], teacher[:, 2] = 7, 0
    loss = fast_level_pearson(maps.requires_grad_(), teacher)
    assert loss.item() == pytest.approx(2 / 2 / 3)  # the first channels are equal
    assert torch.autograd.grad(loss, maps)[0].isfinite().all()
