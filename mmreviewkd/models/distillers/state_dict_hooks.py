"""Make a student's ``state_dict`` hooks work inside the distiller as without it."""

import functools
from collections import OrderedDict
from collections.abc import Callable, MutableMapping

from torch import Tensor, nn


def isolate_state_dict_hooks(model: nn.Module) -> None:
    """Restrict the hooks of a model's own ``state_dict`` and ``load_state_dict`` to its own entries.

    Some models, such as mmpretrain's ``TimmClassifier`` and ``HuggingFaceClassifier``, rename their entries in hooks
    that assume to see the whole ``state_dict``. Inside another module, such hooks save under other names than they
    load, and drop entries of other modules. This function wraps each hook of ``model``, so that it gets only the
    model's entries, without a prefix, and the entries that it returns are written back under the prefix. Without a
    prefix nothing changes.

    Args:
        model (nn.Module): The model, changed in place; its submodules keep their hooks.
    """
    for key, hook in model._state_dict_hooks.items():
        model._state_dict_hooks[key] = functools.partial(_save, hook)
    for key, hook in model._load_state_dict_pre_hooks.items():
        model._load_state_dict_pre_hooks[key] = functools.partial(_load, hook)


def _save(hook: Callable, module: nn.Module, state: MutableMapping[str, Tensor], prefix: str, *rest: object) -> None:
    own = _taken(state, prefix)
    result = hook(module, own, '', *rest)
    state.update({prefix + name: value for name, value in (own if result is None else result).items()})


def _load(hook: Callable, state: MutableMapping[str, Tensor], prefix: str, *rest: object) -> None:
    own = _taken(state, prefix)
    hook(own, '', *rest)
    state.update({prefix + name: value for name, value in own.items()})


def _taken(state: MutableMapping[str, Tensor], prefix: str) -> OrderedDict:
    """Remove the entries under a prefix and return them without it."""
    names = [name for name in state if name.startswith(prefix)]
    return OrderedDict((name[len(prefix):], state.pop(name)) for name in names)
