"""Model configs: resolve references to config files and metafiles."""

import copy
import importlib.util
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config

from .errors import ConfigError, did_you_mean

# The types of an ``init_cfg`` that loads weights; PVT gives none.
_PRETRAINED = ('Pretrained', 'PretrainedInit', None)


def type_name(kind: object) -> str | None:
    """Return the class name of a config's ``type``, however it is given; None of None.

    Args:
        kind (str or type, optional): A name, with or without a scope; a dotted path, as MMEngine writes pure Python
            configs; or a class, as they hold it.
    """
    return None if kind is None else getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def model_config(model: dict | str, where: str) -> ConfigDict:
    """Resolve a model dict or a reference to a config file to a model dict.

    Args:
        model (dict or str): A model dict, ``'package::path/of/config.py'``, or the path of a config file. The model
            of a file gets the file's ``data_preprocessor`` and default scope, unless it has its own.
        where (str): The config key, for messages.

    Returns:
        ConfigDict: A copy of the model dict.

    Raises:
        ConfigError: If ``model`` is neither, or the file does not exist or contains no model.
    """
    if isinstance(model, str):
        config = load_config(model, where)
        if not isinstance(config.get('model'), dict):
            raise ConfigError(f'{where}: {model!r} contains no `model` dict')
        found = copy.deepcopy(config.model)
        if config.get('data_preprocessor'):
            found.setdefault('data_preprocessor', config.data_preprocessor)
        scope = config.get('default_scope') or model.rpartition('::')[0]
        if scope:
            found.setdefault('_scope_', scope)
        return found
    if not isinstance(model, dict) or 'type' not in model:
        raise ConfigError(
            f"{where} must be a model dict with a `type`, 'package::path/of/config.py' or the path of a config file, "
            f'but is {model!r}')
    return copy.deepcopy(ConfigDict(model))


def load_config(reference: str, where: str) -> Config:
    """Read a config file.

    Args:
        reference (str): ``'package::path/of/config.py'``, or a path.
        where (str): The config key, for messages.

    Raises:
        ConfigError: If there is no such file or package.
    """
    return _parse(config_file(reference, where), where)


def config_file(reference: str, where: str) -> Path:
    """Find a config file; see :func:`load_config`."""
    package, separator, path = reference.rpartition('::')
    if not separator:
        if not Path(path).is_file():
            found = f'{path!r} is a folder, not a config file' if Path(path).is_dir() else \
                f'there is no config file {path!r}'
            raise ConfigError(f'{where}: {found} (seen from {Path.cwd()})')
        return Path(path)
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None:
        raise ConfigError(f'{where}: {reference!r} needs the package {package!r}, which is not installed')
    root = Path(spec.origin).parent
    # Pure Python configs of mmdet and mmpretrain are part of the package itself, where it is installed from source.
    places = [place for place in (root / '.mim' / 'configs', root.parent / 'configs', root / 'configs')
              if place.is_dir()] or [root]
    found = next((place / path for place in places if (place / path).is_file()), None)
    if found is None:
        known = [str(file.relative_to(place)) for place in places for file in place.rglob('*.py')]
        raise ConfigError(f'{where}: {package} has no config {path!r}; {did_you_mean(path, known)}')
    return found


def _parse(file: Path, where: str) -> Config:
    try:
        config = Config.fromfile(file)
        _remove_own_scope(config._cfg_dict)  # also makes the imports that pure Python configs delay
    except SyntaxError as error:
        named = Path(error.filename).name if error.filename else file.name
        reason = f'{error.msg} in line {error.lineno}' + ('' if named == file.name else f' of {named}')
        text = (error.text or '').strip()
        raise ConfigError(f'{where}: {str(file)!r} is no valid Python: {reason}{text and f": {text!r}"}') from error
    except Exception as error:  # a config is Python code, which can raise any error
        message = ' '.join(str(error).split()) or 'no message'
        raise ConfigError(f'{where}: {str(file)!r} cannot be read: {type(error).__name__}: {message:.300}') from error
    return config


def _remove_own_scope(node: Any) -> None:
    """Remove the scope that MMEngine adds to values from a ``_base_`` of ``'mmreviewkd::...'``.

    Configs of this package name the package's components with their scope, and all others as in the library whose data
    and schedule they use; those would not be found in this package's scope.
    """
    if isinstance(node, dict):
        if node.get('_scope_') == 'mmreviewkd':
            del node['_scope_']
        node = node.values()
    if isinstance(node, (list, tuple, type({}.values()))):
        for item in node:
            _remove_own_scope(item)


def metafile_weights(reference: str, where: str) -> str:
    """Look up the URL of a config's weights in the metafile of its package.

    Args:
        reference (str): ``'package::path/of/config.py'``.
        where (str): The config key, for messages.

    Raises:
        ConfigError: If ``reference`` has another form, or the metafile lists no weights for it.
    """
    if not isinstance(reference, str) or '::' not in reference:
        raise ConfigError(
            f"{where} is 'metafile', but the model is no 'package::path/of/config.py', so no metafile goes with it")
    try:
        return get_config(reference, pretrained=True).model_path
    except (AssertionError, AttributeError):
        raise ConfigError(f'{where}: the metafile beside {reference!r} names no weights for it; give a path or URL') \
            from None


def loads_weights(config: Any, key: str = '') -> bool:
    """Whether initializing a model loads weights anywhere in it.

    Args:
        config (dict or list or Any): A model config, or a part of one.
        key (str): The key of the part. Defaults to ''.
    """
    if isinstance(config, (list, tuple)):
        return any(loads_weights(item, key) for item in config)
    return _loads_weights(key, config) or (
        isinstance(config, dict) and any(loads_weights(value, name) for name, value in config.items()))


def without_pretrained(config: Any, key: str = '') -> Any:
    """Copy a config without pretrained weights, so that initializing the model downloads nothing.

    These are every ``init_cfg`` that loads weights, and ``pretrained``, mmsegmentation's older key for the same, and
    timm's.

    Args:
        config (dict or list or Any): A model config, or a part of one.
        key (str): The key of the part. Defaults to ''.
    """
    if isinstance(config, (list, tuple)):
        return type(config)(without_pretrained(item, key) for item in config if not _loads_weights(key, item))
    if not isinstance(config, dict):
        return config
    return type(config)({
        name: without_pretrained(value, name) for name, value in config.items() if not _loads_weights(name, value)})


def _loads_weights(key: str, value: Any) -> bool:
    if key == 'init_cfg':
        return isinstance(value, dict) and type_name(value.get('type')) in _PRETRAINED
    return key == 'pretrained' and (isinstance(value, str) or value is True)
