"""Child registries of MMEngine's registries, with scope ``mmreviewkd``.

MMEngine imports this module when a config has ``type='mmreviewkd.X'``, and each registry imports its components on the
first lookup, so configs need no ``custom_imports``.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import Registry

from mmreviewkd.utils.checkpoint import guard_checkpoint_loading

MODELS = Registry('model', parent=MMENGINE_MODELS, scope='mmreviewkd', locations=['mmreviewkd.models'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='mmreviewkd', locations=['mmreviewkd.engine'])
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope='mmreviewkd', locations=['mmreviewkd.engine'])
RUNNERS = Registry('runner', parent=MMENGINE_RUNNERS, scope='mmreviewkd', locations=['mmreviewkd.engine'])

guard_checkpoint_loading()
