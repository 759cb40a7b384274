"""Every config reads as MMEngine's runner needs it, and each distilled student can be compared with itself alone."""

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.utils import is_installed

from mmreviewkd.apis.checks import check_complete, check_kinds

CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)
# The students of these pairs are trained alone by mmpretrain's config, which is their `_base_`.
ALONE_IN_MMPRETRAIN = {'mobilenet-v2_review-deit-s.py'}
# The students of these pairs are trained alone by a config of another folder.
ALONE_ELSEWHERE = {'resnet18_review-hrnet-w18.py': 'imagenet', 'resnet18_review-swin-t.py': 'imagenet'}
