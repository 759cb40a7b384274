"""Values of a config as Python code."""

import pytest

from mmreviewkd.utils.config_code import Code, as_code


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
