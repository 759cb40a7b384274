"""The base configs of a config file, and the hooks that a config drops from them."""

import ast
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmengine.config import Config


def dropped_hooks(cfg: Config) -> dict[str, list[str]]:
    """Find the custom hooks of base configs that a config's own ``custom_hooks`` replaces.

    Lists of a config replace those of its base. A config that does not set ``custom_hooks``, or keeps the base's
    (``[*_base_.custom_hooks, ...]``), drops none.

    Args:
        cfg (Config): A config that was read from a file.

    Returns:
        dict[str, list[str]]: The dropped types by base file, for the bases that lose any.
    """
    file = Path(cfg.filename or '')
    if file.suffix != '.py' or not file.is_file():
        return {}
    tree = ast.parse(file.read_text(encoding='utf-8'))
    if not any(isinstance(node, ast.Assign) and _names(node, 'custom_hooks') for node in tree.body):
        return {}
    kept = _types(cfg.get('custom_hooks'))
    found = {}
    for base in _bases(tree, file):
        missing = [name for name in _types(Config.fromfile(base).get('custom_hooks')) if name not in kept]
        if missing:
            found[str(base)] = missing
    return found


def _names(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _types(hooks: Iterable[Mapping] | None) -> list[str]:
    """The class names of hooks, whether their types are names, dotted paths or classes."""
    kinds = [hook.get('type') for hook in hooks or () if isinstance(hook, Mapping)]
    return [getattr(kind, '__name__', str(kind)).rpartition('.')[2] for kind in kinds]


def _bases(tree: ast.Module, file: Path) -> list[Path]:
    if Config._is_lazy_import(str(file)):
        statements = [statement for node in tree.body if isinstance(node, ast.With) for statement in node.body]
        paths = [_module_file(statement, file) for statement in statements if isinstance(statement, ast.ImportFrom)]
    else:
        paths = [Path(Config._get_cfg_path(base, str(file))[0]) for base in Config._get_base_files(str(file))]
    return [path for path in paths if path is not None and path.is_file()]


def _module_file(statement: ast.ImportFrom, file: Path) -> Path | None:
    """The file of ``from module import ...`` in a pure Python config."""
    parts = (statement.module or '').split('.')
    if statement.level:
        return file.parent.joinpath(*['..'] * (statement.level - 1), *parts).with_suffix('.py')
    spec = importlib.util.find_spec(parts[0])
    return spec and spec.origin and Path(spec.origin).parent.joinpath(*parts[1:]).with_suffix('.py')
