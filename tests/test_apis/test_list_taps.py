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


def test_a_student_beside_the_config_is_found_from_any_folder(tmp_path):
    pytest.importorskip('mmpretrain')
    (tmp_path / 'student.py').write_text(f"_base_ = '{ROOT / 'configs' / 'fashion_mnist' / 'resnet8.py'}'")
    (tmp_path / 'pair.py').write_text(
        "model = dict(type='mmreviewkd.ReviewDistiller', student=dict(model='student.py'))")
    assert 'backbone.layer3' in [feature.tap for feature in list_taps(str(tmp_path / 'pair.py')).features]


@pytest.mark.parametrize('dataset', ['None', "'CIFAR10'", '[1]', "dict(data_root='data')"])
def test_a_data_loader_without_a_data_set_is_named(dataset, tmp_path):
    (tmp_path / 'config.py').write_text(
        f"model = dict(type='BaseModel')\ntrain_dataloader = dict(batch_size=2, dataset={dataset})")
    with pytest.raises(ConfigError, match=r'^config: `train_dataloader.dataset` must be a dict with a `type`, but is'):
        list_taps(str(tmp_path / 'config.py'))


@pytest.mark.slow
def test_the_tool_prints_what_it_is_asked_for():
    tool = ROOT / 'tools' / 'list_taps.py'
    done = run_tool(tool, ROOT / 'configs/fashion_mnist/resnet8.py', '--grep', 'layer3', cwd=ROOT, COLUMNS='200')
    assert 'backbone.layer3[-1].relu:input' in done.stdout and 'layer2' not in done.stdout
