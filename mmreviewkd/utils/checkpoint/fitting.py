"""Check whether the weights of a checkpoint fit a model."""

from collections.abc import Mapping

from torch import Tensor, nn

from mmreviewkd.utils.errors import CheckpointError

# What the names of the student's weights begin with in a distiller's checkpoint.
_STUDENT = 'student.'


def state_dict_of(checkpoint: Mapping, where: str = 'checkpoint') -> dict[str, Tensor]:
    """Extract the weights from a checkpoint of any layout.

    Args:
        checkpoint (Mapping): An MMEngine checkpoint, or one that holds its weights under 'model', or bare weights.
        where (str): The config key and file, for messages. Defaults to 'checkpoint'.

    Returns:
        dict[str, Tensor]: The weights, without the 'module.' that parallel training puts before every name.

    Raises:
        CheckpointError: If there are none, or their names are not text.
    """
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
            break
    state = {name: value for name, value in checkpoint.items() if isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(
            f"{where} holds no weights: there are no tensors under 'state_dict', 'model' or at the top, but the keys "
            f'{[*checkpoint][:5]!r:.200}')
    unnamed = [name for name in state if not isinstance(name, str)]
    if unnamed:
        raise CheckpointError(
            f"{where} does not name its weights by text, such as 'backbone.conv1.weight', but by {unnamed[0]!r:.60}")
    if all(name.startswith('module.') for name in state):
        state = {name[len('module.'):]: value for name, value in state.items()}
    return state


def check_fit(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights that do not fit a model exactly.

    Some models, such as mmpretrain's Swin and Vision Transformers, rename or resize weights of older versions while
    they load them. Weights that fit after this conversion are accepted; the model then holds them.

    Args:
        model (nn.Module): The model.
        state (Mapping[str, Tensor]): The weights by name.
        where (str): The config key and file, for messages.

    Raises:
        CheckpointError: If names are missing or unexpected, or shapes differ; the message counts and names them.
    """
    own = model.state_dict()
    misfits = {
        'missing': [name for name in own if name not in state and not name.endswith('num_batches_tracked')],
        'unexpected': [name for name in state if name not in own and not name.startswith('data_preprocessor.')],
        'of another shape': [
            f'{name} {tuple(state[name].shape)}, not {tuple(own[name].shape)}'
            for name in own if name in state and state[name].shape != own[name].shape],
    }
    if any(misfits.values()) and not _fits_once_loaded(model, state):
        counts = '; '.join(
            f'{len(names)} {kind} ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'
            for kind, names in misfits.items() if names)
        raise CheckpointError(
            f'{where} does not fit {type(model).__name__}: of {len(own)} entries, {counts}{_remedy(own, state)}')


def _remedy(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Advice for weights of a distiller given to a plain model, or of a student to a distiller; empty for others."""
    mine, theirs = ({name for name in names if not name.endswith('num_batches_tracked')} for names in (own, state))
    if {_STUDENT + name for name in mine} <= theirs:
        return ('. These are the weights of a distiller: export its student with `tools/export_student.py` and give '
                "the exported student's")
    students = {name.removeprefix(_STUDENT) for name in mine if name.startswith(_STUDENT)}
    if students and students <= theirs:
        return ('. These are the weights of the student alone: give them as init_cfg=dict(type="Pretrained", '
                'checkpoint=...) of student.model')
    return ''


def _fits_once_loaded(model: nn.Module, state: Mapping[str, Tensor]) -> bool:
    try:
        rest = model.load_state_dict(state, strict=False)
    except Exception:  # errors that a model's own conversion raises on weights of another model
        return False
    return all(name.endswith('num_batches_tracked') for name in rest.missing_keys) and all(
        name.startswith('data_preprocessor.') for name in rest.unexpected_keys)


def load_weights(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights that fit a model exactly; see :func:`check_fit`."""
    check_fit(model, state, where)
    # Not strict, for the entries that check_fit ignores: batch counters and the buffers of a data preprocessor.
    model.load_state_dict(state, strict=False)
