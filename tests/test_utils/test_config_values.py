"""Values are found by their key at any depth."""

from mmengine.config import Config

from mmreviewkd.utils.config_values import found_values


def test_values_are_found_in_dicts_lists_and_tuples():
    cfg = Config(dict(model=dict(
        num_classes=1, head=[dict(bbox=dict(num_classes=2)), (dict(num_classes=3), 'num_classes')])))
    assert found_values(cfg.model, 'num_classes') == [1, 2, 3]


def test_outer_values_come_before_values_inside_of_them():
    inner = dict(sampler=dict(type='b'))
    assert found_values(dict(first=dict(sampler=1), sampler=inner), 'sampler') == [inner, 1, dict(type='b')]


def test_falsy_values_are_found_and_part_of_a_key_is_not():
    assert found_values([dict(mean=None), dict(mean=0), dict(means=1)], 'mean') == [None, 0]
    assert found_values('mean', 'mean') == []
