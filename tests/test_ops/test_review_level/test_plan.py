"""What is planned where one way is known to be the best, and what a plan says."""

import pytest
import torch

from mmreviewkd.ops.review_level import LevelShape, plan_level, timed_ways
from mmreviewkd.ops.review_level import plan as plan_module
from mmreviewkd.ops.review_level.plan import (
    COSTS_COMPILED,
    COSTS_OF_AVX2,
    COSTS_OF_AVX512,
    covariance_pays,
    images_per_chunk,
)

CPU = torch.device('cpu')


def shape(batch, size, c, m, o, coarse, is_finest=True):
    return LevelShape(batch, c, m, o, size, size, coarse, is_finest)


def plan(*arguments, device=CPU, dtype=torch.float32, **settings):
    return plan_level(shape(*arguments), device, dtype, **settings)


@pytest.fixture(params=[COSTS_OF_AVX2], ids=['avx2'], autouse=True)
def constants(request, monkeypatch):
    """Constants of one kind of CPU, whichever runs the test."""
    monkeypatch.setattr(plan_module, 'cost_constants', lambda *_: request.param)


@pytest.mark.parametrize(('arguments', 'way'), [
    ((8, (56, 56), 64, 512, 64, (28, 28)), 'composed'),  # ResNet-34 to ResNet-18, finest
    ((64, (32, 32), 64, 256, 64, (16, 16)), 'composed'),  # CIFAR ResNet-32x4 to 8x4, finest
    ((64, (32, 32), 64, 256, 64, None), 'winograd'),  # nothing to compose with
    ((8, (14, 14), 256, 512, 256, (7, 7)), 'winograd'),  # too few pixels to compose kernels for
    ((64, (32, 32), 16, 64, 16, (16, 16)), 'direct'),  # CIFAR ResNet-56 to 20, finest
    ((1, (128, 128), 256, 256, 256, (64, 64)), 'winograd'),  # a pyramid's finest
    ((8, (7, 7), 512, 512, 512, (1, 1)), 'direct'),
])
def test_the_cheapest_convolution(arguments, way):
    assert plan(*arguments, implementation='fast').convolution == way


@pytest.mark.parametrize('constants', [COSTS_COMPILED], ids=['compiled'], indirect=True)
@pytest.mark.parametrize(('arguments', 'way'), [
    ((8, (56, 56), 64, 512, 64, (28, 28)), 'composed'),
    ((64, (32, 32), 64, 256, 64, (16, 16)), 'composed'),
    ((64, (32, 32), 64, 256, 64, (16, 16), False), 'winograd'),  # the fused map is needed anyway
    ((64, (32, 32), 16, 64, 16, (16, 16)), 'composed'),  # direct by tensor operations
    ((64, (28, 28), 8, 64, 8, (14, 14)), 'direct'),  # less than a vector of output channels
    ((8, (14, 14), 256, 512, 256, (7, 7)), 'winograd'),
    ((8, (7, 7), 512, 512, 512, (1, 1)), 'winograd')])  # direct by tensor operations
def test_compiled_functions_pay_nearly_everywhere(constants, arguments, way):
    assert plan(*arguments, implementation='fast').convolution == way


@pytest.mark.parametrize('constants', [COSTS_OF_AVX512], ids=['avx512'], indirect=True)
@pytest.mark.parametrize(('arguments', 'way'), [
    ((8, (56, 56), 64, 512, 64, (28, 28)), 'composed'),
    ((8, (14, 14), 256, 512, 256, (7, 7)), 'direct'),  # winograd with AVX2
    ((64, (16, 16), 128, 256, 128, (8, 8)), 'direct'),  # winograd with AVX2
    ((1, (128, 128), 256, 256, 256, (64, 64)), 'winograd')])
def test_a_fast_direct_convolution_is_chosen_more_often(constants, arguments, way):
    assert plan(*arguments, implementation='fast').convolution == way


def test_a_level_that_is_resized_after_fusing_cannot_be_composed():
    resized = shape(64, (32, 32), 64, 256, 64, (16, 16))._replace(target_size=(64, 64))
    assert 'composed' not in plan_level(resized, CPU, torch.float32).costs


@pytest.mark.parametrize(('device', 'dtype'), [('cuda', torch.float32), ('cpu', torch.bfloat16)])
def test_other_convolutions_are_chosen_only_if_costs_are_known(device, dtype):
    found = plan(1, (128, 128), 256, 256, 256, (64, 64), device=torch.device(device), dtype=dtype)
    assert found.way == 'fast' and found.convolution == 'direct' and not found.costs


@pytest.mark.parametrize(('device', 'dtype'), [('cuda', torch.float32), ('cpu', torch.float16)])
def test_nothing_is_compiled_where_nothing_compiled_is_used(device, dtype, monkeypatch):
    monkeypatch.setattr(plan_module, 'cost_constants', lambda *_: pytest.fail('compiled'))
    assert plan(1, (128, 128), 256, 256, 256, (64, 64), device=torch.device(device), dtype=dtype).way == 'fast'


@pytest.mark.parametrize(('channels', 'device', 'way'), [
    (16, CPU, 'fast'), (15, CPU, 'plain'), (31, torch.device('cuda'), 'plain'), (32, torch.device('cuda'), 'fast')])
def test_narrow_paths_are_computed_fast_where_functions_are_compiled(channels, device, way, monkeypatch):
    arguments = 64, (32, 32), 16, channels, 16, (16, 16)
    monkeypatch.setattr(plan_module, 'cost_constants', lambda *_: plan_module.COSTS_COMPILED)
    assert plan(*arguments, device=device).way == way
    monkeypatch.setattr(plan_module, 'cost_constants', lambda *_: plan_module.COSTS_OF_AVX2)
    assert plan(*arguments, device=device).way == ('plain' if channels < 32 else 'fast')


def test_statistics_come_from_the_side_with_fewer_channels():
    assert covariance_pays(shape(64, (32, 32), 64, 256, 1, None))
    assert not covariance_pays(shape(8, (14, 14), 1024, 256, 1, None))
    assert not covariance_pays(shape(16, (1, 1), 64, 256, 1, None))


def test_chunks_hold_at_least_an_image_and_at_most_the_batch():
    assert images_per_chunk(shape(4, (999, 999), 1, 999, 1, None), CPU, torch.float32) == 1
    assert images_per_chunk(shape(4, (1, 1), 1, 1, 1, None), CPU, torch.float32) == 4
    cuda = torch.device('cuda')
    assert images_per_chunk(shape(64, (999, 999), 1, 999, 1, None), cuda, torch.float32) == 64


def test_on_a_gpu_chunks_save_memory_where_it_is_preferred():
    level = shape(128, (56, 56), 64, 512, 64, (28, 28))
    whole, some = (
        plan_level(level, torch.device('cuda'), torch.bfloat16, prefer=prefer).images for prefer in ('time', 'memory'))
    assert whole == 128 and some * 512 * 56 * 56 * 4 <= 64 * 2**20 < (some + 1) * 512 * 56 * 56 * 4


@pytest.mark.parametrize(('device', 'dtype', 'side', 'names'), [
    ('cuda', torch.bfloat16, 56, ['plain', 'direct', 'direct in chunks']),
    ('cuda', torch.bfloat16, 14, ['plain', 'direct']),  # the whole batch fits a chunk
    ('cuda', torch.float32, 56, [
        'plain', *(f'{name}{end}' for end in ('', ' in chunks') for name in ('direct', 'winograd', 'composed'))]),
    ('cpu', torch.float32, 56, ['plain', 'direct', 'winograd', 'composed'])])
def test_ways_that_are_timed(device, dtype, side, names):
    level = shape(64, (side, side), 64, 512, 64, (side // 2, side // 2))
    ways = timed_ways(level, torch.device(device), dtype)
    assert list(ways) == names
    for name in names:
        if name.endswith(' in chunks'):
            assert ways[name].images < ways[name.split()[0]].images == 64


@pytest.mark.parametrize('constants', [COSTS_COMPILED], ids=['compiled'], indirect=True)
@pytest.mark.parametrize(('arguments', 'way'), [
    ((8, (7, 7), 1024, 256, 2048, (1, 1)), 'fast'),  # 100,352 values, but 206 million products of channels
    ((1, (16, 16), 256, 256, 256, (8, 8)), 'plain')])
def test_small_maps_pay_where_the_convolution_saves_enough(constants, arguments, way):
    assert plan(*arguments).way == way


@pytest.mark.parametrize(('arguments', 'way'), [
    ((64, (32, 32), 8, 64, 8, None), 'fast'), ((64, (1, 1), 8, 256, 8, None), 'plain'),
    ((128, (28, 28), 8, 16, 8, None), 'plain')])
def test_auto_computes_small_or_narrow_maps_by_the_modules(arguments, way):
    assert plan(*arguments).way == way
    assert plan(*arguments, implementation='fast').way == 'fast'
    assert plan(*arguments, implementation='plain').way == 'plain'


def test_few_pixels_and_obstacles_are_computed_by_the_modules():
    assert '7 pixels' in str(plan(7, (1, 1), 64, 512, 64, None, implementation='fast'))
    assert str(plan(8, (9, 9), 64, 512, 64, None, implementation='fast', obstacle='conv2 has a hook')) == (
        'plain: conv2 has a hook')


def test_the_fused_map_is_kept_if_a_finer_level_needs_it_or_the_student_is_wide():
    assert plan(8, (28, 28), 64, 64, 64, None).keeps_fused
    assert plan(8, (28, 28), 32, 64, 64, None, False).keeps_fused
    assert not plan(8, (28, 28), 32, 64, 64, None).keeps_fused


def test_a_plan_tells_way_reason_and_costs_in_a_line():
    told = str(plan(8, (56, 56), 64, 512, 64, (28, 28)))
    assert '\n' not in told
    for part in ('fast: maps of 12845056 values', 'conv2 composed', 'direct 1.00', 'covariance', '1 of 8 images'):
        assert part in told, told
