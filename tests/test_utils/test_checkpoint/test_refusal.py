"""Messages of refusals stay short, and malformed arguments become refusals."""

import pytest

from mmreviewkd.utils.checkpoint.refusal import Refusal, expecting, refuse_global


def test_a_long_name_is_cut():
    message = str(refuse_global('evil.' + 'x' * 10_000))
    assert "'evil.xxx" in message and len(message) < 300


@pytest.mark.parametrize('fail', [
    lambda: int('x'), lambda: len(1), lambda: [].pop(), lambda: {}['x'], lambda: None.x,
    lambda: (1).to_bytes(0, 'big')])
def test_errors_of_malformed_arguments_become_refusals(fail):
    with pytest.raises(Refusal, match=r'a torch\.Size cannot be built') as refused, expecting('a torch.Size'):
        fail()
    assert refused.value.__cause__ is not None


def test_only_the_start_of_the_first_line_of_an_error_is_shown():
    with pytest.raises(Refusal) as refused, expecting('an array'):
        raise ValueError('y' * 1000 + '\nsecond line')
    message = str(refused.value)
    assert message.count('y' * 120) == 1 and len(message) < 300 and 'second line' not in message


@pytest.mark.parametrize('error', [Refusal('is refused'), MemoryError(), KeyboardInterrupt()])
def test_other_errors_pass_unchanged(error):
    with pytest.raises(type(error)) as raised, expecting('an array'):
        raise error
    assert raised.value is error
