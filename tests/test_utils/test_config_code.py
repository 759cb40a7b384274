"""Values of a config as Python code."""

import math
from pathlib import Path

import pytest
from mmengine.config import Config

from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.config_code import Code, as_code, config_text


@pytest.mark.parametrize('value', [
    None, True, 1, -0.5, 'a\'b"', (), (1,), [1, (2, 3)], dict(a=1, b=[dict(c='x')]), {'a.b': 1, 2: {}},
    dict(long=[f'backbone.layer{i}' for i in range(20)], wide=tuple(range(100)), deep={'a b': dict(c=['x' * 50] * 3)}),
])
def test_the_code_has_the_value_and_fits_the_page(value):
    code = as_code(value, column=8)
    assert eval(code) == value
    assert all(len(line) <= 120 for line in code.splitlines())


def test_expressions_are_written_as_they_are():
    assert as_code(dict(model=Code('_base_.model'), taps=['neck'])) == "dict(model=_base_.model, taps=['neck'])"


def test_infinity_and_nan_are_read_back():
    values = dict(clip_grad=dict(norm_type=math.inf), range=(-math.inf, 1), rates=[dict(least=math.nan)])
    assert as_code(values['range']) == "(float('-inf'), 1)"
    read = Config.fromstring(config_text(values), '.py')
    assert read.clip_grad.norm_type == math.inf and read.range == (-math.inf, 1) and math.isnan(read.rates[0].least)


def test_classes_are_written_by_name():
    assert Config.fromstring(config_text(dict(hook=dict(type=Path))), '.py').hook.type == 'pathlib.Path'


@pytest.mark.parametrize(('values', 'message'), [
    (dict(data=[dict(root=Path('a'))]), r'data\.0\.root is .*Path\(.a.\), which cannot be written as Python code'),
    (dict(keys={"it's": 1}), r'config: keys\."it.s" cannot be written'),
    (dict(prefix=dict(lambda_=1, **{'class': 2})), r"config: prefix\.'class' cannot be written"),
    ({'batch-size': 1}, "'batch-size' cannot be written as Python code; a top-level key must be a name")])
def test_what_python_could_not_read_back_is_named(values, message):
    with pytest.raises(ConfigError, match=message):
        config_text(values)
