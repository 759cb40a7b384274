"""Child registries of MMEngine's roots, scope ``mmreviewkd``.

Importing this module is all a config needs: MMEngine does so by itself on ``type='mmreviewkd.X'``, and each registry
imports the modules of its own components on the first look-up.
"""

from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import Registry

from mmreviewkd.utils.checkpoint import allow_mmengine_checkpoints

MODELS = Registry('model', parent=MMENGINE_MODELS, scope='mmreviewkd', locations=['mmreviewkd.models'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='mmreviewkd', locations=['mmreviewkd.engine'])
RUNNERS = Registry('runner', parent=MMENGINE_RUNNERS, scope='mmreviewkd', locations=['mmreviewkd.engine'])

allow_mmengine_checkpoints()
