"""Rename published weights for a model that has the same layers under other names."""

from collections.abc import Collection, Iterable, Mapping

from torch import Tensor, nn

# Batch counters of batch normalizations; some layouts lack them, and no output depends on them.
_COUNTER = 'num_batches_tracked'


def match_layout(own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, str]:
    """Match the entries of a checkpoint in another layout with those of a model.

    Layouts name layers differently (``fc``, ``linear`` and ``classifier.0`` are all ``head.fc`` here), but list them
    in the order of computation. A layer is first matched by its name without the model's first component
    (``layer1.0.conv1`` with ``backbone.layer1.0.conv1``); the remaining layers are matched in order if there are
    equally many, with the same entries. Shapes are not compared, see :func:`~mmreviewkd.utils.checkpoint.check_fit`.
    A file that lists its entries by name, as safetensors files do, gives no order of computation; its remaining layers
    are matched by shape, where no other layer has the same.

    Args:
        own (Mapping[str, Tensor]): The model's ``state_dict``.
        other (Mapping[str, Tensor]): The ``state_dict`` in the other layout.

    Returns:
        dict[str, str]: The model's name of each matched entry, by its name in the other layout. Empty if the two have
        a name in common, as the checkpoint then has the model's own layout.
    """
    if not own.keys().isdisjoint(other):
        return {}
    tensors = own, other
    own, entries, other = _layers(own), other, _layers(other)
    within = {layer.partition('.')[2]: layer for layer in reversed(own)}
    pairs = {layer: within[layer] for layer in other if layer in within}
    matched = set(pairs.values())
    rest = [layer for layer in other if layer not in pairs]
    free = [layer for layer in own if layer not in matched]
    if _is_sorted(entries):
        pairs.update(_matched_by_shape(*(_shapes(state, layers) for state, layers in zip(tensors, (free, rest)))))
    elif [other[layer] for layer in rest] == [own[layer] for layer in free]:
        pairs.update(zip(rest, free))
    split = ((entry, *entry.rpartition('.')[::2]) for entry in entries)
    return {entry: '.'.join(filter(None, [pairs[layer], name])) for entry, layer, name in split if layer in pairs}


def convert_state(model: nn.Module, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Rename the entries of a ``state_dict`` to those of a model, see :func:`match_layout`.

    Args:
        model (nn.Module): The model.
        state (Mapping[str, Tensor]): The ``state_dict``, in another layout or the model's own.

    Returns:
        tuple[dict[str, Tensor], str]: The renamed ``state_dict``, in which unmatched entries keep their names, and a
        report of the renaming, which is empty if nothing was renamed.
    """
    names = match_layout(model.state_dict(), state)
    converted = {names.get(name, name): value for name, value in state.items()}
    if not names:
        return converted, ''
    parts = list(dict.fromkeys(_without_common_end(*pair) for pair in names.items()))
    shown = [f'{other} -> {own}' for other, own in parts]
    if len(shown) > 9:
        shown = [*shown[:5], '...', *shown[-3:]]
    return converted, f'{len(names)} of {len(state)} entries mapped: {", ".join(shown)}'


def _layers(state: Mapping[str, Tensor]) -> dict[str, dict[str, int]]:
    """The layers of a ``state_dict`` in order, each with the number of dimensions of its entries by name."""
    layers: dict[str, dict[str, int]] = {}
    for entry, value in state.items():
        layer, _, name = entry.rpartition('.')
        held = layers.setdefault(layer, {})
        if name != _COUNTER:
            held[name] = value.dim()
    return layers


def _is_sorted(entries: Iterable[str]) -> bool:
    """Whether entries are listed by name. In the order of a module, a ``weight`` comes before its ``bias``."""
    names = [entry for entry in entries if not entry.endswith(_COUNTER)]
    return len(names) > 1 and names == sorted(names)


def _shapes(state: Mapping[str, Tensor], layers: Collection[str]) -> dict[str, list[tuple[str, tuple[int, ...]]]]:
    """The names and shapes of the entries of some layers, in alphabetical order."""
    found: dict[str, list] = {layer: [] for layer in layers}
    for entry in sorted(state):
        layer, _, name = entry.rpartition('.')
        if layer in found and name != _COUNTER:
            found[layer].append((name, tuple(state[entry].shape)))
    return found


def _matched_by_shape(own: Mapping[str, list], other: Mapping[str, list]) -> dict[str, str]:
    """Match layers by the shapes of their entries; empty if two layers have the same shapes, or one has no partner."""
    owners = {str(shapes): layer for layer, shapes in own.items()}
    distinct = len(owners) == len(own) and len({str(shapes) for shapes in other.values()}) == len(other)
    if not distinct or owners.keys() != {str(shapes) for shapes in other.values()}:
        return {}
    return {layer: owners[str(shapes)] for layer, shapes in other.items()}


def _without_common_end(other: str, own: str) -> tuple[str, str]:
    """Remove the common last components of two names, but never all components of either."""
    others, owns = other.split('.'), own.split('.')
    while len(others) > 1 and len(owns) > 1 and others[-1] == owns[-1]:
        others.pop()
        owns.pop()
    return '.'.join(others), '.'.join(owns)
