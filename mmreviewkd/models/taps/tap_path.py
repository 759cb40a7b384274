"""Parsing and resolving the names of taps."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from mmreviewkd.utils.errors import TapError

_TAP = re.compile(r'(?P<path>[\w.\[\]-]+)(:(?P<end>input|output)(?P<elements>(\[-?\d+\])*))?')
_STEP = re.compile(r'\.?(?P<name>\w+)|\[(?P<index>-?\d+)\]')


@dataclass(frozen=True)
class TapPath:
    """A parsed tap such as ``backbone.layer1[-1].relu:input`` or ``backbone.stages[0]:output[2]``.

    Args:
        path (str): The module, written as in Python, relative to the model.
        end (str): 'input', the module's first argument, or 'output', its return value.
        elements (tuple[int, ...]): Indices applied to that value one after the other. Defaults to ().
    """

    path: str
    end: str = 'output'
    elements: tuple[int, ...] = ()

    @classmethod
    def parse(cls, tap: str, where: str) -> 'TapPath':
        """Parse the name of a tap.

        Args:
            tap (str): The name.
            where (str): The config key it comes from, for messages.

        Raises:
            TapError: If it does not have the form of a tap.
        """
        match = _TAP.fullmatch(tap)
        if not match:
            raise TapError(
                f"{where}: {tap!r} names no module; a tap is the path of a module, with ':input', ':output' or "
                "':output[1]' behind it where needed")
        elements = re.findall(r'-?\d+', match['elements'] or '')
        return cls(match['path'], match['end'] or 'output', tuple(map(int, elements)))

    def resolve(self, model: nn.Module, where: str) -> nn.Module:
        """Find the module in a model.

        Args:
            model (nn.Module): The model.
            where (str): The config key the tap comes from, for messages.

        Raises:
            TapError: If there is no such module (the message lists near matches, or the children of the module that was
                reached), or the model can never call it.
        """
        module, reached, rest = model, '', self.path
        while rest:
            step = _STEP.match(rest)
            try:
                found = module[int(step['index'])] if step['index'] else getattr(module, step['name'])
            except (AttributeError, IndexError, TypeError, NotImplementedError):
                found = None
            if not isinstance(found, nn.Module):
                raise TapError(f'{where}: {self.path!r} names no module; {_suggestion(module, reached, rest)}')
            module, reached, rest = found, reached + step[0], rest[step.end():]
        if type(module).forward is nn.Module.forward:
            parts = _parts(module)
            item = f'[{"-1" if isinstance(module, nn.ModuleList) else parts[-1]}]' if parts and parts[-1].isdigit() \
                else f'.{parts[-1]}' if parts else ''
            raise TapError(
                f'{where}: {self.path!r} is a {type(module).__name__}, which is a container that is never called '
                f'itself; tap one of its items, such as {self.path + item!r}')
        return module

    def select(self, value: object) -> object:
        """Apply :attr:`elements` to the value at the module's end.

        Args:
            value (object): The module's first argument or its output.

        Raises:
            IndexError: If the value has no such element.
            TypeError: If it has no elements.
        """
        for index in self.elements:
            value = without_keys(value)[index]
        return value


def without_keys(value: object) -> object:
    """The values of a dict, such as the features of torchvision's pyramids, as a tuple; anything else as it is."""
    return tuple(value.values()) if isinstance(value, Mapping) else value


def _parts(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_children() if name != 'data_preprocessor']


def _suggestion(owner: nn.Module, reached: str, rest: str) -> str:
    """Suggest near matches among the last found module's children, then its descendants; else list the children."""
    parts = _parts(owner)
    name = re.match(r'\.?(\w*)', rest)[1]
    deeper = [other for other, _ in owner.named_modules() if other]
    near = difflib.get_close_matches(name, parts, n=3, cutoff=0.5) \
        or difflib.get_close_matches(rest.lstrip('.'), deeper, n=3, cutoff=0.5)
    if near:
        names = [re.sub(r'\.(\d+)', r'[\1]', f'{reached}.{other}'.lstrip('.')) for other in near]
        return f'did you mean {" or ".join(map(repr, names))}?'
    who = f'{reached!r} (a {type(owner).__name__})' if reached else f'this {type(owner).__name__}'
    has = f'its parts are {", ".join(parts)}' if parts else 'it has no parts'
    return f'{who} has no {name or rest}; {has}'
