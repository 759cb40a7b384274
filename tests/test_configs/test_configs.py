"""What holds of every config of the project."""

import pytest
from conftest import ROOT

CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)


def test_every_folder_has_tests_in_which_its_configs_take_a_step():
    folders = {path.relative_to(ROOT / 'configs').parts[0] for path in CONFIGS}
    assert folders == {'beyond', 'cifar100', 'coco', 'fashion_mnist', 'fashion_scenes', 'imagenet'}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_is_short_enough_to_read_aloud(path):
    assert len(path.read_text().splitlines()) <= 60
