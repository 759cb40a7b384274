"""The setup function that MMEngine's hub calls."""

import importlib


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register the package's modules; ``mmengine.hub.get_model('mmreviewkd::...')`` calls this function.

    Args:
        init_default_scope (bool): Part of OpenMMLab's convention, without effect: the default scope of the package's
            configs is that of the library whose data and schedule they use. Defaults to True.
    """
    importlib.import_module('mmreviewkd.registry')
