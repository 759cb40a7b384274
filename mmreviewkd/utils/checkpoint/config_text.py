"""Config texts inside a checkpoint, which MMEngine would execute as Python."""

import ast
from collections.abc import Mapping

# Keys that make MMEngine import modules, read other files or set environment variables.
_ACTIVE = ('_base_', 'custom_imports', 'env_variables')
_LONGEST = 2**20


def data_only(text: object) -> str:
    """Remove everything but plain assignments from the text of a config.

    Keeps assignments of literals and of ``dict(...)`` with literals, as MMEngine writes them. A text that has nothing
    else is returned unchanged.

    Args:
        text (str): The Python source of a config.

    Returns:
        str: The remaining text; empty if the text is not valid Python.
    """
    if not isinstance(text, str) or len(text) > _LONGEST or '{{' in text:
        return ''
    try:
        statements = ast.parse(text).body
        kept = [statement for statement in statements if _is_data(statement)]
        return text if kept == statements else '\n'.join(map(ast.unparse, kept))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ''


def disarm_config_texts(checkpoint: dict) -> dict:
    """Reduce the config texts of a checkpoint to plain assignments; MMEngine executes them to resume or infer.

    Args:
        checkpoint (dict): A checkpoint of MMEngine's runner; changed in place.
    """
    meta, hub = checkpoint.get('meta'), checkpoint.get('message_hub')
    runtime_info = hub.get('runtime_info') if isinstance(hub, Mapping) else None
    for holder in (meta, runtime_info):
        for key in ('cfg', 'config'):
            if isinstance(holder, dict) and key in holder:
                holder[key] = data_only(holder[key])
    return checkpoint


def _is_data(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Assign) and all(isinstance(target, ast.Name) for target in statement.targets)
        and not any(target.id in _ACTIVE for target in statement.targets) and _is_literal(statement.value))


def _is_literal(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):  # also dict({'a.b': 1}) and dict(**{'a.b': 1}), for keys that are not identifiers
        dicts = [*node.args, *(keyword.value for keyword in node.keywords if not keyword.arg)]
        values = [keyword.value for keyword in node.keywords if keyword.arg]
        return (
            isinstance(node.func, ast.Name) and node.func.id == 'dict' and all(map(_is_literal, [*dicts, *values]))
            and all(isinstance(argument, ast.Dict) for argument in dicts))
    if isinstance(node, ast.Dict):
        return all(key is not None and _is_literal(key) for key in node.keys) and all(map(_is_literal, node.values))
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return all(map(_is_literal, node.elts))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _is_literal(node.operand)
    return isinstance(node, ast.Constant)
