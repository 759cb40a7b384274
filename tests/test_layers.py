"""Imports go down only: utils < registry < ops < models < engine < apis < studies, and never in circles."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / 'mmreviewkd'
LAYERS = ['version', 'utils', 'registry', 'ops', 'models', 'engine', 'apis', 'studies']


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob('*.py')) if '.mim' not in file.parts}


def imports_of(source: str, module: str, is_package: bool) -> set[str]:
    """The modules of this package that a source imports, at its top level or within functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parent = module.split('.')[:len(module.split('.')) - node.level + is_package]
                base = '.'.join([*parent, *filter(None, [node.module])])
            # `from package import name` imports a module of that name, or else a name of the package.
            found.update(f'{base}.{alias.name}' if f'{base}.{alias.name}' in FILES else base for alias in node.names)
    return {name for name in found if name.split('.')[0] == 'mmreviewkd'}


IMPORTS = {
    module: imports_of(file.read_text(), module, file.name == '__init__.py') for module, file in FILES.items()}


def layer(module: str) -> int:
    return LAYERS.index(module.split('.')[1])


@pytest.mark.parametrize('module', [module for module in FILES if module != 'mmreviewkd'])
def test_a_module_imports_its_own_layer_and_those_below(module):
    above = [name for name in IMPORTS[module] if name == 'mmreviewkd' or layer(name) > layer(module)]
    assert not above, f'{module} must not import {above}: {" < ".join(LAYERS)}'


def test_the_package_itself_imports_only_what_every_user_needs_and_the_distiller_on_its_first_use():
    tree = ast.parse(FILES['mmreviewkd'].read_text())
    at_once = ast.unparse(ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef)], []))
    needed = {'mmreviewkd.utils.environment', 'mmreviewkd.version'}
    assert imports_of(at_once, 'mmreviewkd', True) <= needed
    assert IMPORTS['mmreviewkd'] - needed == {'mmreviewkd.models.distillers.plain_distiller'}


def test_there_are_no_import_cycles():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(f'modules that import each other: {" -> ".join(error.args[1])}')


@pytest.mark.parametrize('module', [
    name for name in FILES if name.startswith('mmreviewkd.models.backbones.')])
def test_backbones_import_only_the_registry(module):
    """Export copies their source beside the student, where the rest of the package is not."""
    assert IMPORTS[module] <= {'mmreviewkd.registry'}


def test_every_import_names_a_module():
    assert {name for names in IMPORTS.values() for name in names} <= FILES.keys()


@pytest.mark.parametrize(('source', 'module', 'is_package', 'expected'), [
    ('import mmreviewkd.apis', 'mmreviewkd.utils.x', False, {'mmreviewkd.apis'}),
    ('from mmreviewkd.apis.train import train', 'mmreviewkd.utils.x', False, {'mmreviewkd.apis.train'}),
    ('from mmreviewkd.utils import errors', 'mmreviewkd.apis.x', False, {'mmreviewkd.utils.errors'}),
    ('from .errors import ConfigError', 'mmreviewkd.utils.x', False, {'mmreviewkd.utils.errors'}),
    ('from . import errors', 'mmreviewkd.utils', True, {'mmreviewkd.utils.errors'}),
    ('from ..utils import errors', 'mmreviewkd.apis.x', False, {'mmreviewkd.utils.errors'}),
    ('def f():\n    from mmreviewkd.apis import train', 'mmreviewkd.utils.x', False, {'mmreviewkd.apis.train'}),
    ('import torch\nfrom mmengine import Config', 'mmreviewkd.utils.x', False, set()),
])
def test_imports_are_seen_however_they_are_written(source, module, is_package, expected):
    assert imports_of(source, module, is_package) == expected
