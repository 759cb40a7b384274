"""Errors in components that MMEngine builds from a config, with messages that name the component."""

import contextlib
import difflib
import importlib
import importlib.util
import os
import re
import traceback
from collections.abc import Iterator

import mmengine.registry
from mmengine.registry import Registry

from .errors import ConfigError, described, in_one_line
from .files import DISK_ERRORS

_UNKNOWN_TYPE = re.compile(r'(?P<name>[\w.]+) is not in the (?:(?P<scope>[\w.]+)::)?(?P<registry>[\w ]+) registry')
# NumPy's message when MMEngine serializes a data set without samples.
_EMPTY = 'need at least one array to concatenate'
# Libraries that register their types when their models are imported.
_LIBRARIES = 'mmpretrain', 'mmdet', 'mmseg'
# Functions of MMEngine's registries and runner that only build, never train.
_BUILDING = (
    'build_from_cfg', 'build_dataloader', 'build_evaluator', 'build_train_loop', 'build_val_loop', 'build_test_loop',
    'build_optim_wrapper', 'build_param_scheduler', 'scale_lr')


@contextlib.contextmanager
def build_errors_named(where: str, everything: bool = False) -> Iterator[None]:
    """Turn errors that are raised while a component is built from its config into a ConfigError.

    A type that is not registered gets suggestions of near matches. Other errors name the type that was being built,
    the exception and the line of code that raised it. Errors raised outside of building, and those
    of a full disk, pass unchanged.

    Args:
        where (str): The config key, or 'config', for messages.
        everything (bool): Whether the block only builds, so that all of its errors are converted. Defaults to False.

    Raises:
        ConfigError: If a component could not be built.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        named = _named(error, where, everything)
        if named is None:
            raise
        raise ConfigError(named) from error


def _named(error: Exception, where: str, everything: bool) -> str | None:
    # MMEngine's runner raises a TypeError of a hook anew.
    if isinstance(error, TypeError) and isinstance(error.__context__, TypeError):
        error = error.__context__
    built = [
        frame for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name in _BUILDING and frame.f_globals['__name__'].startswith('mmengine.')]
    if not built and not everything:
        return None
    unknown = _UNKNOWN_TYPE.search(' '.join(in_one_line(error).split()))
    if unknown:
        return f'{where}: {unknown[0]}; {_advice(**unknown.groupdict())}'
    config = built[-1].f_locals.get('cfg') if built else None
    config = config if isinstance(config, dict) else {}
    kind, file = config.get('type'), config.get('ann_file')
    component = f' ({getattr(kind, "__name__", kind)})' if kind else ''
    of_file = f' of {os.path.join(config.get("data_root") or "", file)!r}' if file and isinstance(file, str) else ''
    reason = described(error)
    if _EMPTY in reason:
        reason = 'it has no samples; check its paths, its classes (`metainfo`) and its `filter_cfg`'
    return f'{where}{component} cannot be built{of_file}: {reason}'


def check_type(config: dict, registry: Registry, where: str) -> None:
    """Refuse a config dict whose type is not registered.

    Args:
        config (dict): The config dict of a component.
        registry (Registry): The registry it is built by.
        where (str): The config key, for the message.

    Raises:
        ConfigError: If the type is a name that is not registered; the message suggests near matches.
    """
    kind = config.get('type')
    if not isinstance(kind, str):
        return
    with registry.switch_scope_and_registry(None) as scoped:
        if scoped.get(kind) is None:
            raise ConfigError(
                f'{where}: {kind} is not in the {scoped.scope}::{scoped.name} registry; '
                f'{_advice(kind, scoped.scope, scoped.name)}')


def _advice(name: str, scope: str | None, registry: str) -> str:
    """Suggest the registered types whose names are nearest to ``name``, as a part of a sentence."""
    families = [
        [root, *root.children.values()] for root in vars(mmengine.registry).values() if isinstance(root, Registry)]
    family = next((family for family in families if any(member.name == registry for member in family)), [])
    known = {}
    for member in sorted(family, key=lambda member: member.scope == scope):
        known.update((key, member.scope) for key in member.module_dict)
    near = difflib.get_close_matches(name.rpartition('.')[2], known, n=3, cutoff=0.6)
    suggestion = f'did you mean {" or ".join(repr(f"{known[key]}.{key}") for key in near)}? Otherwise ' if near else ''
    return (
        f"{suggestion}give the type its scope (such as 'mmpretrain.ImageClassifier') or install the package it comes "
        f'from{_failed_imports()}')


def _failed_imports() -> str:
    """List the installed libraries whose models cannot be imported, with the errors, to be appended to a message."""
    failed = ''
    for library in filter(importlib.util.find_spec, _LIBRARIES):
        try:
            importlib.import_module(f'{library}.models')
        except Exception as error:
            failed += f'; the installed {library} cannot be imported: {described(error)}'
    return failed
