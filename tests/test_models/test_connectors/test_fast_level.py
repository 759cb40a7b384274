"""When the fast path may stand in for a level's modules, and what is said about it."""

import pytest
import torch
from torch import nn

from mmreviewkd.models import AdditionFusion, AttentionBasedFusion, ReviewConnector
from mmreviewkd.models.connectors import review_connector
from mmreviewkd.models.connectors.fast_level import map_dtype, obstacle

CPU = torch.device('cpu')


def hooked(block):
    block.conv1[0].register_forward_hook(lambda *arguments: None)


def replaced(block):
    block.conv2[1] = nn.InstanceNorm2d(2)


def attended(block):
    block.att_conv[1] = nn.Tanh()


@pytest.mark.parametrize(('change', 'message'), [
    (hooked, r'conv1\.0 has a hook'), (replaced, 'conv2 is not as built'), (attended, 'att_conv is not as built')])
def test_obstacles_are_named(change, message):
    block = AttentionBasedFusion(2, 2, 2)
    assert obstacle(block) is None
    change(block)
    with pytest.raises(AssertionError, match=message):
        assert obstacle(block) is None, obstacle(block)


def test_unsupported_levels_are_computed_by_their_modules():
    assert obstacle(AdditionFusion(2, 2, 2)) == 'AdditionFusion is computed by its modules'


def test_a_global_hook_is_an_obstacle():
    handle = nn.modules.module.register_module_forward_hook(lambda *arguments: None)
    try:
        assert obstacle(AttentionBasedFusion(2, 2, 2)) == 'a global module hook is registered'
    finally:
        handle.remove()


def test_maps_have_the_dtype_of_parameters_or_autocast():
    block = AttentionBasedFusion(2, 2, 2)
    assert map_dtype(block, torch.float32, CPU) == torch.float32
    assert map_dtype(block, torch.float64, CPU) is None
    assert map_dtype(block.bfloat16(), torch.bfloat16, CPU) is None
    with torch.autocast('cpu', torch.bfloat16):
        assert map_dtype(block.float(), torch.bfloat16, CPU) == torch.bfloat16
        assert map_dtype(block.double(), torch.float64, CPU) is None


SHAPES, SIZES = [(2, 4, 64, 64), (2, 4, 8, 8)], [(64, 64), (8, 8)]


def test_plans_are_what_runs():
    connector = ReviewConnector([4, 4], [4, 4], 64)
    outputs = connector([torch.randn(*shape) for shape in SHAPES], SIZES)
    plans = connector.plans(SHAPES, SIZES)
    assert [p.way for p in plans] == ['fast', 'plain']
    assert ['FusedLevel' in type(o.grad_fn.next_functions[0][0]).__name__ for o in outputs] == [True, False]
    assert plans[0].shape.coarse_size == (8, 8) and plans[0].shape.is_finest and plans[1].shape.coarse_size is None
    connector.blocks[0].conv1.register_forward_hook(lambda *arguments: None)
    assert str(connector.plans(SHAPES, SIZES)[0]) == 'plain: conv1 has a hook'
    connector.implementation = 'plain'
    assert "implementation='plain'" in str(connector.plans(SHAPES, SIZES)[1])
    with pytest.raises(ValueError, match='2 levels, but was given 1'):
        connector.plans(SHAPES[:1], SIZES)


def test_the_plan_of_each_level_is_logged_once(monkeypatch):
    lines = []
    monkeypatch.setattr(review_connector, 'print_log', lambda message, logger: lines.append(message))
    connector = ReviewConnector([4, 4], [4, 4], 64)
    for _ in range(2):
        connector([torch.randn(*shape) for shape in SHAPES], SIZES)
    assert len(lines) == 2 and 'level 2 of 2' in lines[0] and ': plain: ' in lines[0] and ': fast: ' in lines[1]
