"""Weights published in another layout, renamed for a model of the same layers."""

from collections.abc import Mapping

from torch import Tensor, nn

# Counts of batches, which some layouts lack and no network computes with.
_COUNTER = 'num_batches_tracked'


def match_layout(own: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, str]:
    """Find the layers of a model that the weights of another layout belong to.

    Layouts name the same layers otherwise (``fc``, ``linear`` and ``classifier.0`` are all ``head.fc`` here), but hold
    them in the order in which they run. So layers that only lack the name of the model's part (``layer1.0.conv1`` of
    ``backbone.layer1.0.conv1``) belong together, and all others in their order, if they are as many and of the same
    kinds. Shapes are left to :func:`~mmreviewkd.utils.checkpoint.check_fit`.

    Args:
        own (Mapping[str, Tensor]): The model's ``state_dict``.
        other (Mapping[str, Tensor]): The weights by their names in the other layout.

    Returns:
        dict[str, str]: The model's names by those of the other layout, of all layers that could be matched. Empty
        where the other layout is the model's own, that is, where they share any name.
    """
    if not own.keys().isdisjoint(other):
        return {}
    own, entries, other = _layers(own), other, _layers(other)
    within = {layer.partition('.')[2]: layer for layer in reversed(own)}
    pairs = {layer: within[layer] for layer in other if layer in within}
    matched = set(pairs.values())
    rest = [layer for layer in other if layer not in pairs]
    free = [layer for layer in own if layer not in matched]
    if [other[layer] for layer in rest] == [own[layer] for layer in free]:
        pairs.update(zip(rest, free))
    split = ((entry, *entry.rpartition('.')[::2]) for entry in entries)
    return {entry: '.'.join(filter(None, [pairs[layer], name])) for entry, layer, name in split if layer in pairs}


def convert_state(model: nn.Module, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Rename weights of another layout as a model names them; see :func:`match_layout`.

    Args:
        model (nn.Module): The model.
        state (Mapping[str, Tensor]): The weights, in another layout or the model's own.

    Returns:
        tuple[dict[str, Tensor], str]: The weights by the model's names (those that belong to no layer of the model
        keep theirs), and a report of what was renamed, empty where nothing was.
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
    """The layers in their order, and of each the numbers of dimensions of what it holds, by name."""
    layers: dict[str, dict[str, int]] = {}
    for entry, value in state.items():
        layer, _, name = entry.rpartition('.')
        held = layers.setdefault(layer, {})
        if name != _COUNTER:
            held[name] = value.dim()
    return layers


def _without_common_end(other: str, own: str) -> tuple[str, str]:
    """``block1.layer.0.bn1`` and ``layer1.0.bn1`` without the ``.0.bn1`` both end in; one part is always left."""
    others, owns = other.split('.'), own.split('.')
    while len(others) > 1 and len(owns) > 1 and others[-1] == owns[-1]:
        others.pop()
        owns.pop()
    return '.'.join(others), '.'.join(owns)
