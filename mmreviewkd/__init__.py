"""Knowledge Review distillation (ReviewKD, CVPR 2021) for OpenMMLab."""

from .utils.environment import check_environment
from .version import __version__

check_environment()

from mmengine.config.utils import MODULE2PACKAGE  # noqa: E402

# MMEngine resolves references such as 'mmreviewkd::cifar100/resnet20.py' through this table. It looks up what stands
# here as a distribution first, whose location is wrong for editable installs; as it is none, as a module.
MODULE2PACKAGE['mmreviewkd'] = 'mmreviewkd.registry'

__all__ = ['__version__', 'distiller']


def __getattr__(name: str) -> object:
    """Import ``distiller`` on its first use, so that the package itself stays quick to import."""
    if name == 'distiller':
        from .models.distillers.plain_distiller import distiller
        return distiller
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
