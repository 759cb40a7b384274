"""Find the layer that outputs a classifier's logits."""

from torch import nn

from .survey import as_path


def classifier_logits(model: nn.Module) -> tuple[str, int] | None:
    """Return the tap of a classifier's logits, and the number of its classes.

    A classifier is a model whose ``head`` is a ``ClsHead`` of mmpretrain, for images of one class each. Its logits are
    the output of the only linear layer in the head that has as many outputs as there are classes.

    Args:
        model (nn.Module): The model.

    Returns:
        tuple[str, int], optional: The tap, such as ``'head.fc'``, and the number of classes; None if the model is no
        such classifier, or no layer or several could output the logits.
    """
    head = getattr(model, 'head', None)
    if not any(base.__name__ == 'ClsHead' for base in type(head).__mro__):
        return None
    classes = getattr(head, 'num_classes', None)
    found = [name for name, module in head.named_modules(prefix='head')
             if isinstance(module, nn.Linear) and module.out_features == classes]
    return (as_path(model, found[0]), classes) if len(found) == 1 else None
