"""Types that a checkpoint may contain: tensors, plain Python and NumPy values, and the state of MMEngine's runner."""

import functools
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

import numpy as np
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

from .data_unpickler import Allowed, check_key
from .numpy_values import NUMPY_BUILDERS, numpy_globals
from .refusal import invalid, refuse_global
from .tensors import tensor_globals

# The functions that the state of MMEngine's log buffers and schedulers refers to.
_METHODS = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


@functools.cache
def allowed_globals() -> dict[str, object]:
    """Return the types and functions that a checkpoint may refer to, by the names that pickle uses."""
    functions = [
        Allowed('collections.OrderedDict', _ordered_dict), Allowed('collections.Counter', _counter),
        Allowed('builtins.set', _set), Allowed('builtins.frozenset', _frozenset), Allowed('builtins.bytes', _bytes),
        Allowed('builtins.bytearray', _bytearray), Allowed('builtins.complex', _complex),
        Allowed('_codecs.encode', _encode), Allowed('builtins.getattr', _known_method)]
    mmengine = {cls: Allowed(f'{cls.__module__}.{cls.__qualname__}', value=cls) for cls in _METHODS}
    mmengine[HistoryBuffer] = Allowed(mmengine[HistoryBuffer].name, HistoryBuffer, HistoryBuffer, new=True)
    return {
        **tensor_globals(), **numpy_globals(),
        **{allowed.name: allowed for allowed in (*functions, *mmengine.values())}}


def state_builders() -> Mapping[type, Callable]:
    """Return, by type, the function that sets the state of an object; a state for any other type is refused."""
    return {OrderedDict: _set_attributes, HistoryBuffer: _set_history, **NUMPY_BUILDERS}


def _ordered_dict(items: object = ()) -> OrderedDict:
    if type(items) not in (list, tuple):
        raise invalid('an OrderedDict whose items are not pairs')
    for key, _ in items:
        check_key(key)
    return OrderedDict(items)


def _counter(counts: object = None) -> Counter:
    if type(counts) not in (dict, type(None)):
        raise invalid('a Counter that is not made from a dict')
    return Counter(counts)


def _set(values: object = ()) -> set:
    if type(values) not in (list, tuple):
        raise invalid('a set that is not made from a list')
    for value in values:
        check_key(value)
    return set(values)


def _frozenset(values: object = ()) -> frozenset:
    return frozenset(_set(values))


def _bytes() -> bytes:
    return b''


def _encode(text: object, encoding: object) -> bytes:
    if type(text) is not str or encoding not in ('latin1', 'latin-1'):
        raise invalid('bytes in another encoding than latin1')
    return text.encode('latin1')


def _bytearray(data: object = b'', encoding: object = 'latin-1') -> bytearray:
    return bytearray(data if type(data) is bytes else _encode(data, encoding))


def _complex(real: object, imaginary: object) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise invalid('a complex number that is not made from floats')
    return complex(real, imaginary)


def _known_method(owner: object, name: object) -> Callable:
    cls = owner.value if isinstance(owner, Allowed) else None
    if type(name) is not str or name not in (_METHODS.get(cls, ()) if isinstance(cls, type) else ()):
        raise refuse_global(f'getattr({getattr(owner, "name", type(owner).__name__)}, {name!r:.40})')
    return getattr(cls, name)


def _set_attributes(target: OrderedDict, state: object) -> None:
    """Set ``_metadata`` of a ``state_dict``, the versions of its modules."""
    metadata = state.get('_metadata')
    if type(state) is not dict or type(metadata) not in (dict, OrderedDict):
        raise invalid('attributes of an OrderedDict')
    target._metadata = metadata


def _set_history(buffer: HistoryBuffer, state: object) -> None:
    histories = state['_log_history'], state['_count_history']
    if any(type(history) is not np.ndarray for history in histories) or type(state['max_length']) is not int:
        raise invalid('a log whose values are not numbers')
    buffer._log_history, buffer._count_history = histories
    buffer.max_length = state['max_length']
