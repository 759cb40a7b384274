"""An unpickler that builds data and never runs code of the file."""
# ruff: noqa: D102  (each method is named after the instruction that it carries out)

import pickle
import pickletools
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import BinaryIO

from .refusal import expecting, invalid, refuse_global, unsupported

_OPCODES = {code.name: ord(code.code) for code in pickletools.opcodes}
# All of protocol 2 but the opcodes that instantiate a class or look up a registry (INST, OBJ, EXT*, PERSID).
_ALLOWED_OPCODES = [_OPCODES[name] for name in (
    'PROTO', 'STOP', 'POP', 'POP_MARK', 'DUP', 'MARK', 'NONE', 'NEWTRUE', 'NEWFALSE', 'INT', 'BININT', 'BININT1',
    'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT', 'STRING', 'BINSTRING', 'SHORT_BINSTRING', 'UNICODE',
    'BINUNICODE', 'EMPTY_TUPLE', 'TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3', 'EMPTY_LIST', 'LIST', 'APPEND', 'APPENDS',
    'EMPTY_DICT', 'DICT', 'SETITEM', 'SETITEMS', 'GET', 'BINGET', 'LONG_BINGET', 'PUT', 'BINPUT', 'LONG_BINPUT',
    'GLOBAL', 'REDUCE', 'BUILD', 'NEWOBJ', 'BINPERSID')]
_KEY_TYPES = (str, bytes, int, float, bool, type(None))


class Allowed:
    """A type or function that a pickle may refer to by name.

    Args:
        name (str): Its dotted name.
        call (Callable, optional): Checks the arguments that the pickle passes, and returns plain data. With None, the
            pickle may refer to the name, but not call it. Defaults to None.
        value (object, optional): The value passed if it is an argument of another call. Defaults to None.
        new (bool): Whether it is a class that may be instantiated without arguments. Defaults to False.
    """

    def __init__(
            self, name: str, call: Callable | None = None, value: object = None, *, new: bool = False) -> None:
        self.name, self.call, self.value, self.new = name, call, value, new


def check_key(key: object) -> None:
    """Refuse keys that ``torch.save`` never writes; hashing deeply nested tuples would crash the process."""
    if type(key) not in _KEY_TYPES:
        raise invalid(f'a {type(key).__name__} as the key of a dict')


class DataUnpickler(pickle._Unpickler):
    """Reads a pickle of protocol 2, as ``torch.save`` writes it, without running code from it.

    Only functions of :class:`Allowed` are called; they check their arguments. Containers are filled only if they are
    plain lists and dicts, and only types in ``builders`` take a state.

    Args:
        file (BinaryIO): The pickle.
        allowed (Mapping[str, object]): What the pickle may refer to, by name: an :class:`Allowed`, or a plain value.
        builders (Mapping[type, Callable]): The function that sets an object's state, by its exact type.
        load_storage (Callable): Returns a tensor's storage by its persistent id.
    """

    dispatch = {code: pickle._Unpickler.dispatch[code] for code in _ALLOWED_OPCODES}

    def __init__(
            self, file: BinaryIO, allowed: Mapping[str, object], builders: Mapping[type, Callable],
            load_storage: Callable[[tuple], object]) -> None:
        super().__init__(file, encoding='utf-8')
        self._allowed, self._builders, self._load_storage = allowed, builders, load_storage

    def load(self) -> object:
        """Read one object.

        Raises:
            Refusal: If the pickle contains anything but data, or is of another protocol.
        """
        try:
            return super().load()
        except KeyError as error:
            code = error.args[0] if error.args else None
            if type(code) is int and code not in self.dispatch and code in pickle._Unpickler.dispatch:
                name = next(name for name, value in _OPCODES.items() if value == code)
                raise invalid(f'the pickle instruction {name}') from None
            raise

    def load_proto(self) -> None:
        protocol = self.read(1)[0]
        if protocol != 2:
            raise unsupported(f'a checkpoint of pickle protocol {protocol}')
        self.proto = protocol

    def find_class(self, module: str, name: str) -> object:
        module = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}.get(module, module)
        if f'{module}.{name}' not in self._allowed:
            raise refuse_global(f'{module}.{name}')
        return self._allowed[f'{module}.{name}']

    def load_global(self) -> None:
        module, name = (self.readline()[:-1].decode('utf-8') for _ in range(2))
        self.append(self.find_class(module, name))

    def load_reduce(self) -> None:
        args = self.stack.pop()
        function = self.stack.pop()
        if not isinstance(function, Allowed) or function.call is None or type(args) is not tuple:
            raise invalid(f'a call of {_name(function)}')
        with expecting(function.name):
            self.append(function.call(*args))

    def load_newobj(self) -> None:
        args = self.stack.pop()
        cls = self.stack.pop()
        if not isinstance(cls, Allowed) or not cls.new or args != ():
            raise invalid(f'an instance of {_name(cls)}')
        self.append(cls.call())

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        build = self._builders.get(type(target))
        if build is None:
            raise invalid(f'a state for {_name(target)}')
        with expecting(f'the state of a {type(target).__name__}'):
            build(target, state)

    def load_binpersid(self) -> None:
        with expecting('a storage'):
            self.append(self._load_storage(self.stack.pop()))

    def load_append(self) -> None:
        value = self.stack.pop()
        self._list().append(value)

    def load_appends(self) -> None:
        values = self.pop_mark()
        self._list().extend(values)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    def load_setitems(self) -> None:
        self._fill(self.pop_mark())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def _list(self) -> list:
        if type(self.stack[-1]) is not list:
            raise invalid(f'elements added to a {type(self.stack[-1]).__name__}')
        return self.stack[-1]

    def _fill(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict, Counter):
            raise invalid(f'keys set in a {type(target).__name__}')
        for key, value in zip(items[::2], items[1::2], strict=True):
            check_key(key)
            target[key] = value

    dispatch.update({_OPCODES[name]: function for name, function in dict(
        PROTO=load_proto, GLOBAL=load_global, REDUCE=load_reduce, NEWOBJ=load_newobj, BUILD=load_build,
        BINPERSID=load_binpersid, APPEND=load_append, APPENDS=load_appends, SETITEM=load_setitem,
        SETITEMS=load_setitems, DICT=load_dict).items()})


def _name(found: object) -> str:
    return repr(found.name) if isinstance(found, Allowed) else f'a {type(found).__name__}'
