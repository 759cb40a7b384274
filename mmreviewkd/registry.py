"""Child registries of MMEngine's roots, scope ``mmreviewkd``.

Importing this module is all a config needs: MMEngine does so by itself on ``type='mmreviewkd.X'``, and each registry
imports the modules of its own components on the first look-up.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

from mmreviewkd.utils.checkpoint import allow_mmengine_checkpoints

MODELS = Registry('model', parent=MMENGINE_MODELS, scope='mmreviewkd', locations=['mmreviewkd.models'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='mmreviewkd', locations=['mmreviewkd.engine'])
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope='mmreviewkd', locations=['mmreviewkd.datasets'])
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope='mmreviewkd', locations=['mmreviewkd.datasets'])
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope='mmreviewkd')
VISUALIZERS = Registry('visualizer', parent=MMENGINE_VISUALIZERS, scope='mmreviewkd')

allow_mmengine_checkpoints()
