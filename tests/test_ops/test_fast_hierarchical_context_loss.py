"""HCL from one difference map against its definition."""

import pytest
import torch
from adjoint import normal

from mmreviewkd.ops import fast_hierarchical_context_loss as fast_module
from mmreviewkd.ops import fast_level_hcl, level_hcl
from mmreviewkd.ops.review_level import BatchNorm, Unnormalized

SIZES = [(8, 8), (7, 7), (5, 7), (1, 1), (4, 4), (2, 3), (12, 8), (16, 6)]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('pool_sizes', [(4, 2, 1), (), (6, 3, 2, 1), (1, 4)])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_equals_the_definition(size, pool_sizes, memory_format):
    student, teacher = (
        normal(2, 3, *size, seed=seed).contiguous(memory_format=memory_format).requires_grad_() for seed in range(2))
    losses = [function(student, teacher, pool_sizes) for function in (fast_level_hcl, level_hcl)]
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    fast, definition = (torch.autograd.grad(3 * loss, (student, teacher)) for loss in losses)
    for actual, expected in zip(fast, definition):
        torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize('size', SIZES)
def test_gradients(size):
    inputs = [normal(1, 2, *size, seed=seed).requires_grad_() for seed in range(2)]
    assert torch.autograd.gradcheck(fast_level_hcl, inputs)


def test_keeps_one_map():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()), lambda t: t):
        fast_level_hcl(normal(2, 3, 8, 8).requires_grad_(), normal(2, 3, 8, 8, seed=1))
    assert kept == [2 * 3 * 8 * 8]


def maps_and_norm(dtype=torch.float64, from_batch=True, size=(8, 8)):
    maps, weight, bias = 3 * normal(2, 3, *size) + 1, 1 + 0.3 * normal(3, seed=1), normal(3, seed=2)
    norm = BatchNorm(weight, bias, torch.full_like(bias, 0.3), torch.full_like(bias, 1.5), from_batch, None, 1e-5)
    return maps.to(dtype), norm._replace(
        **{name: value.to(dtype) for name, value in norm._asdict().items() if isinstance(value, torch.Tensor)})


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('from_batch', [True, False])
@pytest.mark.parametrize('teacher_learns', [True, False])
def test_of_maps_before_their_normalization(size, from_batch, teacher_learns):
    maps, norm = maps_and_norm(from_batch=from_batch, size=size)
    teacher = normal(2, 3, *size, seed=3)
    inputs = [t.requires_grad_() for t in (maps, norm.weight, norm.bias)]
    if teacher_learns:
        inputs.append(teacher.requires_grad_())
    unnormalized = Unnormalized(maps, norm)
    losses = fast_level_hcl(unnormalized, teacher), level_hcl(unnormalized.normalized(), teacher)
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    for actual, expected in zip(*(torch.autograd.grad(3 * loss, inputs) for loss in losses)):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


# The gradients of a float16 map are kept in float32: multiplied by a scaler's factor they may not be zero.
KEPT = {torch.float32: torch.float32, torch.bfloat16: torch.bfloat16, torch.float16: torch.float32}


@pytest.mark.parametrize('dtype', KEPT)
@pytest.mark.parametrize('before_normalization', [True, False])
def test_one_map_is_kept(dtype, before_normalization):
    kept = []
    maps, norm = maps_and_norm(torch.float32)
    maps, teacher = maps.to(dtype).requires_grad_(), normal(2, 3, 8, 8, seed=1).float()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append((t.shape, t.dtype)) or t, lambda t: t):
        loss = fast_level_hcl(Unnormalized(maps, norm) if before_normalization else maps, teacher)
    assert sorted(kept, key=lambda entry: len(entry[0])) == [
        ((3,), torch.float32)] * 2 * before_normalization + [(maps.shape, KEPT[dtype])]
    (2.0**12 * loss).backward()
    assert loss.dtype == torch.float32 and maps.grad.dtype == dtype
    single = maps.detach().float().requires_grad_()
    output = Unnormalized(single, norm).normalized() if before_normalization else single
    expected, = torch.autograd.grad(2.0**12 * level_hcl(output, teacher), single)
    assert (maps.grad - expected).abs().max() <= max(torch.finfo(dtype).eps, 1e-6) * expected.abs().max()


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_parts_of_a_bfloat16_batch_give_the_loss_and_the_gradient_of_the_whole(memory_format, monkeypatch):
    _, norm = maps_and_norm(torch.float32)
    maps, teacher = (
        normal(5, 3, 8, 6, seed=seed).bfloat16().contiguous(memory_format=memory_format) for seed in range(2))
    found = []
    for size in (2**20, 2 * 4 * 3 * 8 * 6):  # all images at once, and 2, 2 and 1
        monkeypatch.setattr(fast_module, 'DEVICE_CHUNK_BYTES', size)
        student = maps.clone().requires_grad_()
        loss = fast_level_hcl(Unnormalized(student, norm), teacher)
        found.append((loss.detach(), *torch.autograd.grad(loss, student)))
    torch.testing.assert_close(found[1][0], found[0][0])
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-2, atol=1e-5)
    assert torch.equal(maps, normal(5, 3, 8, 6, seed=0).bfloat16())


def test_nothing_is_kept_without_gradients():
    maps, norm = maps_and_norm()
    maps.requires_grad_()
    with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(lambda t: pytest.fail('kept'), lambda t: t):
        assert fast_level_hcl(Unnormalized(maps, norm), maps) > 0
        assert fast_level_hcl(maps, torch.zeros_like(maps)) > 0


def test_a_kept_graph_gives_the_same_gradients_again():
    maps, norm = maps_and_norm(torch.float32)
    inputs = [t.requires_grad_() for t in (maps, norm.weight, norm.bias)]
    loss = fast_level_hcl(Unnormalized(maps, norm), normal(2, 3, 8, 8, seed=1).float())
    first = torch.autograd.grad(3 * loss, inputs, retain_graph=True)
    second = torch.autograd.grad(3 * loss, inputs)
    assert all(map(torch.equal, first, second))
    with pytest.raises(RuntimeError, match='a second time'):
        torch.autograd.grad(loss, inputs)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('size', [1, 2, 4])
def test_means_of_blocks_are_pooled_maps(size, memory_format):
    """By them GPUs pool."""
    maps = normal(2, 3, 8, 12).contiguous(memory_format=memory_format)
    torch.testing.assert_close(
        fast_module._block_means(maps, size), torch.nn.functional.adaptive_avg_pool2d(maps, size), rtol=1e-12, atol=0)
