"""Check the versions of installed dependencies."""

import importlib.metadata
import importlib.util
import warnings

# Minimum versions of the distributions that provide a package; the onedl-* forks keep the import names.
_REQUIRED = {
    'torch': {'torch': '2.1'},
    'mmengine': {'mmengine': '0.10.0', 'onedl-mmengine': '0.10.0'},
}
_OPTIONAL = {
    'mmcv': {'mmcv': '2.0.0', 'mmcv-lite': '2.0.0', 'onedl-mmcv': '2.0.0'},
    'mmpretrain': {'mmpretrain': '1.0.0', 'onedl-mmpretrain': '1.0.0'},
    'mmdet': {'mmdet': '3.0.0', 'onedl-mmdetection': '3.0.0'},
    'mmseg': {'mmsegmentation': '1.0.0'},
}


def check_environment() -> None:
    """Check the versions of torch, mmengine and installed OpenMMLab packages, without importing them.

    Warns if several distributions of mmcv are installed, which overwrite each other's files.

    Raises:
        ImportError: If torch or mmengine is missing, or a version is too old; the message says what to install.
    """
    for package, minimums in _REQUIRED.items():
        if not _installed(minimums) and importlib.util.find_spec(package) is None:
            raise ImportError(
                f'mmreviewkd needs {package}, which is not installed: pip install "{package}>={minimums[package]}"')
    for minimums in (*_REQUIRED.values(), *_OPTIONAL.values()):
        for name, version in _installed(minimums).items():
            _check_version(name, version, minimums[name])
    mmcv = _installed(_OPTIONAL['mmcv'])
    if len(mmcv) > 1:
        warnings.warn(
            f'{" and ".join(mmcv)} are both installed and overwrite each other, as both provide the package mmcv: '
            f'pip uninstall {" ".join(mmcv)}, then install one of them', stacklevel=3)


def _installed(names: dict[str, str]) -> dict[str, str]:
    """Return the versions of the distributions that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _check_version(name: str, version: str, minimum: str) -> None:
    from mmengine.utils import digit_version
    if digit_version(version) < digit_version(minimum):
        raise ImportError(
            f'mmreviewkd needs {name}>={minimum}, but {version} is installed: pip install "{name}>={minimum}"')
