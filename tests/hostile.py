"""Pickles that run something, by as many ways as there are: each makes a folder `pwned` if it is not stopped."""

import pickle

from pickles import call, checkpoint, name, state, storage, tensor, tuple_of, value

MKDIR = "__import__('os').mkdir('pwned')"
PWNED = value('pwned')
_INNER = pickle.dumps(None)[:-2] + call('os.mkdir', PWNED) + b'.'
_OS = call('builtins.__import__', value('os'))
_MKDIR = call('builtins.getattr', _OS, value('mkdir'))

# What Python's own unpickler runs.
RUNNING = {
    'os.system': call('os.system', value('mkdir pwned')),
    'posix.mkdir': call('posix.mkdir', PWNED),
    'os.makedirs': call('os.makedirs', PWNED),
    'eval': call('builtins.eval', value(MKDIR)),
    'eval by its old name': call('__builtin__.eval', value(MKDIR)),
    'exec': call('builtins.exec', value(MKDIR)),
    'getattr chain': call(_MKDIR, PWNED),
    'import_module': call(
        call('builtins.getattr', call('importlib.import_module', value('os')), value('mkdir')), PWNED),
    'partial': call(call('functools.partial', name('os.mkdir'), PWNED)),
    'partial by its state': call(state(
        call('functools.partial', name('builtins.print')),
        tuple_of(name('os.mkdir'), tuple_of(PWNED), b'}', value(None)))),
    'reduce': call('functools.reduce', name('builtins.map'), b'(' + name('os.mkdir') + b'(' + PWNED + b'l' + b'l')
    + b'q\x09' + b'0' + call('builtins.list', b'h\x09'),
    'methodcaller': call(call('operator.methodcaller', value('mkdir'), PWNED), _OS),
    'attrgetter': call(call(call('operator.attrgetter', value('mkdir')), _OS), PWNED),
    'itemgetter': call(call('builtins.getattr', call(
        call('operator.itemgetter', value('os')), name('sys.modules')), value('mkdir')), PWNED),
    'map in a list': call('builtins.list', call('builtins.map', name('os.mkdir'), b'(' + PWNED + b'l')),
    'filter in a set': call('builtins.set', call('builtins.filter', name('os.mkdir'), b'(' + PWNED + b'l')),
    'map in a bytearray': call('builtins.bytearray', call('builtins.map', call(
        'builtins.eval', value(f'lambda _: {MKDIR} or 1')), value([1]))),
    'map in an OrderedDict': call('collections.OrderedDict', call('builtins.map', call(
        'builtins.eval', value(f'lambda _: {MKDIR} or (1, 1)')), value([1]))),
    'subprocess': call('subprocess.check_call', value(['mkdir', 'pwned'])),
    'subprocess.getoutput': call('subprocess.getoutput', value('mkdir pwned')),
    'os.popen': call(call('builtins.getattr', call('os.popen', value('mkdir pwned')), value('read'))),
    'Path.mkdir': call(call('builtins.getattr', name('pathlib.Path'), value('mkdir')), call('pathlib.Path', PWNED)),
    'pickle.loads': call('pickle.loads', value(_INNER)),
    '_pickle.loads': call('_pickle.loads', value(_INNER)),
    'pickle._loads': call('pickle._loads', value(_INNER)),
    'timeit': call('timeit.timeit', value(MKDIR), value('pass'), name('time.perf_counter'), value(1)),
    'cProfile': call('cProfile.run', value(MKDIR), value('profile')),
    'code': call(call('types.FunctionType', call(
        'builtins.compile', value(MKDIR), value('x'), value('exec')), call('builtins.globals'))),
    'runpy': call('runpy._run_code', call('builtins.compile', value(MKDIR), value('x'), value('exec')), value({})),
    'InteractiveInterpreter': call(call('builtins.getattr', call('code.InteractiveInterpreter'), value('runsource')),
                                   value(MKDIR)),
    'copyreg': call(
        call('builtins.getattr', call('copyreg.__newobj__', call('builtins.type', value('T'), tuple_of(
            name('builtins.object')), b'}' + value('run') + name('os.mkdir') + b's')), value('run')), PWNED),
    'old-style class': b'(' + PWNED + b'ios\nmkdir\n',
    'class on the stack': b'(' + name('os.mkdir') + PWNED + b'o',
    'state by __setstate__': state(call(call('builtins.type', value('T'), tuple_of(
        name('builtins.object')), b'}' + value('__setstate__') + call(
            'builtins.eval', value(f'lambda *_: {MKDIR}')) + b's')), value({'a': 1})),
    'elements by append': call('builtins.type', value('T'), tuple_of(name('builtins.object')), b'}' + value(
        'extend') + call('builtins.eval', value(f'lambda *_: {MKDIR}')) + b's') + b')R(' + value(1) + b'e',
    'keys by __setitem__': call('builtins.type', value('T'), tuple_of(name('builtins.object')), b'}' + value(
        '__setitem__') + call('builtins.eval', value(f'lambda *_: {MKDIR}')) + b's') + b')R'
    + value(1) + value(1) + b's',
    'a tensor of another class': call('torch._tensor._rebuild_from_type_v2', name('os.mkdir'), name('torch.Tensor'),
                                      tuple_of(PWNED), value({})),
    'a function of torch': call('torch._utils._import_dotted_name', value('os.mkdir')) + tuple_of(PWNED) + b'R',
    'in the arguments of a tensor': call('torch._utils._rebuild_parameter', call('os.mkdir', PWNED)),
    'in a storage': tensor(where=tuple_of(value('storage'), call('os.mkdir', PWNED), value('0')) + b'Q'),
    'in a nested list': b']' + b']' + call('os.mkdir', PWNED) + b'a' + b'a',
    'dropped from the stack': call('os.mkdir', PWNED) + b'0' + value({}),
    'from the memo': name('os.mkdir') + b'q\x050' + b'h\x05' + tuple_of(PWNED) + b'R',
    'a config': call(call(
        'builtins.getattr', name('mmengine.config.Config'), value('fromstring')), value(f'a = {MKDIR}'), value('.py')),
}
# What needs more than Python's unpickler to run, or abuses what is allowed.
ABUSING = {
    'getattr of a log': call('builtins.getattr', name('mmengine.logging.history_buffer.HistoryBuffer'), value(
        'register_statistics')),
    'globals of a log': call('builtins.getattr', name(
        'mmengine.logging.history_buffer.HistoryBuffer'), value('__init__')),
    'getattr of an allowed function': call('builtins.getattr', call('builtins.getattr', name(
        'mmengine.logging.history_buffer.HistoryBuffer'), value('mean')), value('__globals__')),
    'a method replaced in a class': state(name('mmengine.logging.history_buffer.HistoryBuffer'), tuple_of(
        value(None), b'}' + value('mean') + name('collections.OrderedDict') + b's')),
    'a function replaced in an array': state(name('torch._utils._rebuild_tensor_v2'), value({'__code__': 1})),
    'call of a type': call('torch.FloatStorage', value(10**12)),
    'call of a dtype': call('torch.float32'),
    'call of data': call(value('os.mkdir'), PWNED),
    'call with a list': name('collections.OrderedDict') + value([]) + b'R',
    'instance of an allowed function': name('builtins.bytearray') + value((10**12,)) + b'\x81',
    'instance of a scheduler': name('mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler') + b')\x81',
    'attributes of a dict': state(call('collections.OrderedDict'), value({'__class__': 1})),
    'log of an object': state(name('mmengine.logging.history_buffer.HistoryBuffer') + b')\x81', value(
        {'_log_history': 1, '_count_history': 1, 'max_length': 1})),
    'extension': b'\x82\x01',
    'text reference': b'Pstorage\n',
    'reference to a module': tuple_of(value('module'), name('torch.FloatStorage'), value('x'), value('y')) + b'Q',
    'wrapper subclass': call('torch._utils._rebuild_wrapper_subclass', name('torch.Tensor')),
    'quantized': call('torch._utils._rebuild_qtensor', storage(), value(0), value((4,)), value((1,))),
    'sparse': call('torch._utils._rebuild_sparse_tensor', value(0), value((1, 2, 3))),
    'torch.jit': call('torch.jit._serialization.load', value('model.pt')),
    'ctypes': call('ctypes.CDLL', value('libc.so.6')),
    'codec': call('_codecs.encode', value('text'), value('rot13')),
    'a codec that is no text': call('_codecs.encode', value('text'), value(3)),
    'a huge bytearray': call('builtins.bytearray', value(10**13)),
    'a set of unhashable': call('builtins.set', value([[1]])),
    'a nested key': call('builtins.set', b'(' + b')' + b'\x85' * 100_000 + b'l'),
    'a complex of text': call('builtins.complex', value('1'), value('2')),
    'a counter of text': call('collections.Counter', value('abc')),
    'keys of a list': b']' + value(0) + value(1) + b's',
    'elements of a dict': b'}' + value(0) + b'a',
    'an empty stack': b'00000',
    'an unknown memo': b'h\x63',
    'an unknown instruction': b'\xff',
    'arguments in excess': call('collections.OrderedDict', value([]), value([]), value([])),
    'no arguments': call('torch._utils._rebuild_tensor_v2'),
    'a size beyond integers': call('torch.Size', value((2**70,))),
    'sizes that are text': call('torch.Size', value('123')),
    'an unknown device': call('torch.device', value('nowhere')),
    'a parameter of text': call('torch._utils._rebuild_parameter', value('x'), value(True), value(None)),
    'a tensor of a device': call('torch.Tensor', value('os')),
}
HOSTILE = {kind: checkpoint(content) for kind, content in {**RUNNING, **ABUSING}.items()}
