"""Errors of components that MMEngine builds from a config, as messages that name the component."""

import contextlib
import difflib
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import mmengine.registry
from mmengine.registry import Registry

from .errors import ConfigError

_UNKNOWN_TYPE = re.compile(r"(?P<name>[\w.]+) is not in the (?P<scope>[\w.]+)::(?P<registry>[\w ]+) registry")
# Functions of MMEngine's registries and runner that only build, never train.
_BUILDING = (
    'build_from_cfg', 'build_dataloader', 'build_evaluator', 'build_train_loop', 'build_val_loop', 'build_test_loop',
    'build_optim_wrapper', 'build_param_scheduler', 'scale_lr')


@contextlib.contextmanager
def build_errors_named(where: str, everything: bool = False) -> Iterator[None]:
    """Turn errors that are raised while a component is built from its config into a ConfigError.

    A type that is not registered gets suggestions of near matches. Other errors name the type that was being built,
    the exception and the line of code that raised it. Errors raised outside of building pass unchanged.

    Args:
        where (str): The config key, or 'config', for messages.
        everything (bool): Whether the block does nothing but build, so that all of its errors are named. Defaults to
            False.

    Raises:
        ConfigError: If a component could not be built.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        named = _named(error, where, everything)
        if named is None:
            raise
        raise ConfigError(named) from error


def _named(error: Exception, where: str, everything: bool) -> str | None:
    frames = list(traceback.walk_tb(error.__traceback__))
    built = [
        frame for frame, _ in frames
        if frame.f_code.co_name in _BUILDING and frame.f_globals['__name__'].startswith('mmengine.')]
    if not built and not everything:
        return None
    message = ' '.join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
    unknown = _UNKNOWN_TYPE.search(message)
    if unknown:
        return (
            f'{where}: {unknown[0]}; {_similar_types(**unknown.groupdict())}give the type its scope (such as '
            "'mmpretrain.ImageClassifier') or install the package it comes from")
    config = built[-1].f_locals.get('cfg') if built else None
    kind = config.get('type') if isinstance(config, dict) else None
    component = f' ({getattr(kind, "__name__", kind)})' if kind else ''
    frame, line = frames[-1]
    place = '/'.join(Path(frame.f_code.co_filename).parts[-3:])
    return f'{where}{component} cannot be built: {type(error).__name__}: {message:.300} ({place}:{line})'


def _similar_types(name: str, scope: str, registry: str) -> str:
    """A sentence part with the registered types whose names are nearest to ``name``."""
    roots = (root for root in vars(mmengine.registry).values() if isinstance(root, Registry))
    root = next((root for root in roots if root.name == registry), None)
    if root is None:
        return ''
    registries = [root, *root.children.values()]
    known = {}
    for child in sorted(registries, key=lambda child: child.scope == scope):
        known.update((key, child.scope) for key in child.module_dict)
    near = difflib.get_close_matches(name.rpartition('.')[2], known, n=3, cutoff=0.7)
    if not near:
        return ''
    return f'did you mean {" or ".join(repr(f"{known[key]}.{key}") for key in near)}? Otherwise '
