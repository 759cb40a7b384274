"""Families name configs that exist, and are paired within their package."""

from pathlib import Path

import pytest
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.utils import get_installed_path

from mmreviewkd.studies.pairs.families import Network, network, pairs_of
from mmreviewkd.utils import ConfigError


@pytest.mark.parametrize('package', ['mmpretrain', 'mmdet'])
def test_every_family_names_a_config_of_its_package(package):
    pytest.importorskip(package)
    configs = Path(get_installed_path(MODULE2PACKAGE[package])) / '.mim' / 'configs'
    networks = {found for pair in pairs_of([]) for found in pair if found.package == package}
    assert len(networks) > 40
    assert [found.config for found in networks if not (configs / found.config.partition('::')[2]).is_file()] == []


def test_a_config_may_stand_for_a_family():
    config = 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
    assert network(config) == Network(config, config, side=160)
    with pytest.raises(ConfigError, match=r"'torchvision::resnet\.py' is none, nor 'mmpretrain::"):
        network('torchvision::resnet.py')


def test_only_families_of_one_image_size_are_fixed():
    assert [(network(name).side, network(name).fixed) for name in ('resnet', 'swin_v2', 'retinanet', 'ssd')] == [
        (224, False), (256, True), (160, False), (300, True)]


def test_every_family_is_a_student_and_a_teacher_by_default():
    students, teachers = ({found.name for found in part} for part in zip(*pairs_of([])))
    assert students == teachers
    lenet = [(student.name, teacher.name) for student, teacher in pairs_of([]) if teacher.name == 'lenet']
    assert lenet == [('lenet', 'lenet')]


def test_families_are_paired_within_their_package():
    names = ['resnet', 'deit', 'rtmdet', 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py']
    pairs = [(student.name, teacher.name) for student, teacher in pairs_of(names)]
    assert len(pairs) == 8 and ('resnet', 'deit') in pairs and ('resnet', 'rtmdet') not in pairs
    everything = pairs_of([])
    assert len(everything) > 150 and len(set(everything)) == len(everything)
    with pytest.raises(ConfigError, match=r"families: 'resmet' is none, .* did you mean 'resnet'"):
        pairs_of(['resmet'])
