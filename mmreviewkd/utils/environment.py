"""Check the versions of installed dependencies."""

import importlib.metadata

import mmengine
from mmengine.utils import digit_version

# Minimum versions of the distributions that provide a package; the onedl-* forks keep the import names.
_OPTIONAL = {
    'mmcv': {'mmcv': '2.0.0', 'mmcv-lite': '2.0.0', 'onedl-mmcv': '2.0.0'},
    'mmpretrain': {'mmpretrain': '1.0.0', 'onedl-mmpretrain': '1.0.0'},
    'mmdet': {'mmdet': '3.0.0', 'onedl-mmdetection': '3.0.0'},
}
_OLDEST_TORCH = '2.1'
_OLDEST_MMENGINE = '0.10.0'


def check_environment() -> None:
    """Check the versions of torch, mmengine and, if installed, mmcv, mmpretrain and mmdet, without importing them.

    Raises:
        ImportError: If a version is too old; the message says what to install.
    """
    installed = importlib.metadata.version('torch')
    if digit_version(installed) < digit_version(_OLDEST_TORCH):
        raise ImportError(f'mmreviewkd needs torch>={_OLDEST_TORCH}, but {installed} is installed')
    if digit_version(mmengine.__version__) < digit_version(_OLDEST_MMENGINE):
        raise ImportError(
            f'mmreviewkd needs mmengine>={_OLDEST_MMENGINE}, but {mmengine.__version__} is installed: '
            f'pip install "mmengine>={_OLDEST_MMENGINE}"')
    for distributions in _OPTIONAL.values():
        for name, oldest in distributions.items():
            try:
                installed = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
            if digit_version(installed) < digit_version(oldest):
                raise ImportError(
                    f'mmreviewkd works with {name}>={oldest}, but {installed} is installed: '
                    f'pip install "{name}>={oldest}"')
