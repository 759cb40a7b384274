"""Every config of the project parses and builds."""

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS

CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)
# Those of these folders are built where they take a step.
TRAINED = {'cifar100', 'coco', 'imagenet', 'beyond'}


@pytest.mark.parametrize(
    'path', [path for path in CONFIGS if path.parent.name not in TRAINED],
    ids=lambda path: f'{path.parent.name}/{path.name}')
def test_builds(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile(path)
    if 'data_preprocessor' in cfg:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    MODELS.build(cfg.model)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_is_short_enough_to_read_aloud(path):
    assert len(path.read_text().splitlines()) <= 60
