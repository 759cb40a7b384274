"""Models are built from their dicts, which stay as they are."""

import copy

import pytest
from conftest import cifar_classifier
from mmengine.registry import DefaultScope

from mmreviewkd.models.build import build_model
from mmreviewkd.utils import ConfigError

ImageClassifier = pytest.importorskip('mmpretrain.models').ImageClassifier


def test_the_dict_is_left_as_it_is():
    config = cifar_classifier()
    before = copy.deepcopy(config)
    assert type(build_model(config, 'model')) is ImageClassifier
    assert config == before


def test_the_dict_names_its_scope():
    with DefaultScope.overwrite_default_scope('mmengine'):
        assert type(build_model({**cifar_classifier(), '_scope_': 'mmpretrain'}, 'model')) is ImageClassifier
        with pytest.raises(ConfigError, match=r"student.model: ImageClassifier .*'mmpretrain\.ImageClassifier'"):
            build_model(cifar_classifier(), 'student.model')


def test_an_error_within_the_model_is_named_with_the_part_it_comes_from():
    message = r'model \(mmreviewkd.CIFARResNet\) cannot be built: TypeError.*no_such_setting'
    with pytest.raises(ConfigError, match=message) as error:
        build_model(dict(type='mmreviewkd.CIFARResNet', depth=8, no_such_setting=1), 'model')
    assert isinstance(error.value.__cause__, TypeError)
