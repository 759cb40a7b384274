"""What can be tapped in the model of a config."""

import pytest
from conftest import ROOT, run_tool

from mmreviewkd.apis import list_taps
from mmreviewkd.utils import ConfigError


def test_the_config_of_a_distillation_stands_for_its_student():
    pytest.importorskip('mmpretrain')
    configs = ROOT / 'configs' / 'fashion_mnist'
    alone, distilled = (list_taps(str(configs / name)) for name in ('resnet8.py', 'resnet8_review-resnet14.py'))
    assert alone == distilled and 'backbone.layer3' in [f.tap for f in alone.features]


def test_the_size_of_the_image_can_be_given():
    pytest.importorskip('mmpretrain')
    found = list_taps('mmpretrain::resnet/resnet18_8xb32_in1k.py', size=(96, 64))
    assert found.image == (3, 96, 64)
    assert {f.tap: f.size for f in found.features}['backbone.layer4'] == (3, 2)


def test_a_config_without_a_model_is_named(tmp_path):
    (tmp_path / 'empty.py').write_text('lr = 0.1')
    with pytest.raises(ConfigError, match=r'empty.py.* contains no `model` dict'):
        list_taps(str(tmp_path / 'empty.py'))


@pytest.mark.slow
def test_the_tool_prints_what_it_is_asked_for():
    tool = ROOT / 'tools' / 'list_taps.py'
    done = run_tool(tool, ROOT / 'configs/fashion_mnist/resnet8.py', '--grep', 'layer3', cwd=ROOT, COLUMNS='200')
    assert 'backbone.layer3[-1].relu:input' in done.stdout and 'layer2' not in done.stdout
