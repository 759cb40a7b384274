"""Plain values and states of MMEngine come back with their types; other arguments are refused."""

import io
import pickle
from collections import Counter, OrderedDict

import numpy as np
import pytest
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from pickles import call, name, state, value

from mmreviewkd.utils.checkpoint.allowed_types import allowed_globals, state_builders
from mmreviewkd.utils.checkpoint.data_unpickler import DataUnpickler
from mmreviewkd.utils.checkpoint.refusal import Refusal


def unpickled(content: bytes) -> object:
    return DataUnpickler(io.BytesIO(content), allowed_globals(), state_builders(), None).load()


@pytest.mark.parametrize('found', [
    OrderedDict(b=1, a=2), Counter('abca'), {1, 'a', None}, frozenset([2.5]), b'', b'\x00\xe9\xff', bytearray(b'\xff'),
    bytearray(), 1 - 2j, OneCycleParamScheduler._annealing_cos, OneCycleParamScheduler._annealing_linear,
    HistoryBuffer.mean,
], ids=lambda value: type(value).__name__)
def test_allowed_values_come_back(found):
    loaded = unpickled(pickle.dumps(found, 2))
    assert type(loaded) is type(found) and loaded == found


def test_module_versions_of_a_state_dict_come_back():
    weights = OrderedDict(weight=1)
    weights._metadata = OrderedDict({'': dict(version=2)})
    assert unpickled(pickle.dumps(weights, 2))._metadata == {'': dict(version=2)}


def test_a_log_goes_on_after_loading():
    log = HistoryBuffer([1., 2.], [1, 1], max_length=3)
    loaded = unpickled(pickle.dumps(log, 2))
    for value_ in (4., 6.):
        log.update(value_)
        loaded.update(value_)
    for mine, found in zip(loaded.data, log.data):
        np.testing.assert_array_equal(mine, found)
    assert (loaded.mean(), loaded.max(), loaded.current()) == (4., 6., 6.)


@pytest.mark.parametrize(('content', 'message'), [
    (call('collections.OrderedDict', value('ab')), 'an OrderedDict whose items are not pairs'),
    (call('collections.OrderedDict', value([((1,), 2)])), 'a tuple as the key of a dict'),
    (call('builtins.frozenset', value('abc')), 'a set that is not made from a list'),
    (call('builtins.bytearray', value('abc'), value('utf-16')), 'bytes in another encoding than latin1'),
    (state(call('collections.OrderedDict'), value(dict(_metadata=3))), 'attributes of an OrderedDict'),
    (state(call('collections.Counter'), value(dict(a=1))), 'a state for a Counter'),
    (call('builtins.getattr', name('mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler'), value('step')),
     "holds more than data: .*OneCycleParamScheduler, 'step'"),
])
def test_other_arguments_and_states_are_refused(content, message):
    with pytest.raises(Refusal, match=message):
        unpickled(b'\x80\x02' + content + b'.')
