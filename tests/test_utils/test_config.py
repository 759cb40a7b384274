"""References to configs and weights are resolved, or named where they cannot be."""

import pytest
from mmengine.config import ConfigDict
from mmengine.hub import get_model
from mmengine.model import PretrainedInit

from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.config import (
    load_config,
    loads_weights,
    metafile_weights,
    model_config,
    without_pretrained,
)

RESNET = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'


def test_a_model_dict_is_copied():
    given = dict(type='X', backbone=dict(depth=1))
    found = model_config(given, 'student.model')
    found.backbone.depth = 2
    assert given['backbone']['depth'] == 1


def test_a_reference_brings_its_preprocessor_and_scope():
    pytest.importorskip('mmpretrain')
    found = model_config(RESNET, 'teacher.model')
    assert (found.type, found._scope_, found.backbone.depth) == ('ImageClassifier', 'mmpretrain', 18)
    assert found.data_preprocessor.num_classes == 1000


def test_a_file_is_read_with_its_own_scope_and_preprocessor(tmp_path):
    (tmp_path / 'a.py').write_text("default_scope = 'mmdet'\nmodel = dict(type='X', data_preprocessor=dict(type='P'))\n"
                                   "data_preprocessor = dict(type='Q')\n")
    found = model_config(str(tmp_path / 'a.py'), 'student.model')
    assert (found._scope_, found.data_preprocessor.type) == ('mmdet', 'P')


@pytest.mark.parametrize(('model', 'message'), [
    (dict(depth=3), 'student.model must be a model dict with a `type`'),
    (None, 'student.model must be a model dict with a `type`'),
    ('absent.py', r"student.model: there is no config file 'absent.py' \(seen from /"),
    ('nopackage::a.py', "needs the package 'nopackage', which is not installed"),
    ('mmpretrain::resnet/resnet18_8xb32_in1kk.py', "mmpretrain has no config .* did you mean 'resnet/resnet18_8xb32_"),
    ('mmpretrain::_base_/default_runtime.py', 'contains no `model` dict'),
])
def test_what_is_no_model_is_named(model, message):
    if str(model).startswith('mmpretrain'):
        pytest.importorskip('mmpretrain')
    with pytest.raises(ConfigError, match=message):
        model_config(model, 'student.model')


def test_configs_of_this_package_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config('mmreviewkd::fashion_mnist/resnet8.py', 'config').model.backbone.depth == 8


def test_the_metafile_names_weights():
    pytest.importorskip('mmpretrain')
    assert metafile_weights(RESNET, 'teacher.checkpoint').endswith('/resnet18_8xb32_in1k_20210831-fbbb1da6.pth')


@pytest.mark.parametrize(('reference', 'message'), [
    (dict(type='X'), "teacher.checkpoint is 'metafile', but the model is no 'package::path"),
    ('mmpretrain::_base_/models/resnet18.py', "the metafile beside '.*' names no weights for it"),
])
def test_weights_that_no_metafile_names_are_an_error(reference, message):
    pytest.importorskip('mmpretrain')
    with pytest.raises(ConfigError, match=message):
        metafile_weights(reference, 'teacher.checkpoint')


def test_pretrained_weights_are_removed_wherever_they_are():
    pretrained = dict(type='Pretrained', checkpoint='torchvision://resnet18')
    config = ConfigDict(
        pretrained='open-mmlab://resnet18_v1c', backbone=dict(init_cfg=pretrained, depth=18),
        heads=[dict(init_cfg=pretrained), dict(init_cfg=dict(type='X')), dict(init_cfg=dict(checkpoint='pvt.pth')),
               dict(init_cfg=dict(type=PretrainedInit, checkpoint='torchvision://resnet18'))],
        sizes=(1, 2), checkpoint=pretrained)
    found = without_pretrained(config)
    assert found == dict(
        backbone=dict(depth=18), heads=[{}, dict(init_cfg=dict(type='X')), {}, {}], sizes=(1, 2), checkpoint=pretrained)
    assert isinstance(found.backbone, ConfigDict)
    assert config.backbone.init_cfg == pretrained


def test_a_config_of_this_package_can_be_a_base(tmp_path):
    (tmp_path / 'longer.py').write_text(
        "_base_ = 'mmreviewkd::fashion_mnist/resnet8_review-resnet14.py'\ntrain_cfg = dict(max_epochs=50)\n")
    config = load_config(str(tmp_path / 'longer.py'), 'config')
    plain = load_config('mmreviewkd::fashion_mnist/resnet8_review-resnet14.py', 'config')
    assert config.train_cfg.max_epochs == 50
    assert config.model == plain.model
    assert config.train_dataloader == plain.train_dataloader
    assert "'_scope_': 'mmreviewkd'" not in str(config.to_dict())


def test_mmengines_hub_knows_this_package():
    pytest.importorskip('mmpretrain')
    model = get_model('mmreviewkd::fashion_mnist/resnet8.py')
    assert type(model).__name__ == 'ImageClassifier' and type(model.backbone).__name__ == 'CIFARResNet'
    assert type(model.data_preprocessor).__name__ == 'ClsDataPreprocessor'
    with pytest.raises(AssertionError, match='Cannot find `Weights`'):
        get_model('mmreviewkd::fashion_mnist/resnet8.py', pretrained=True)


def test_items_that_load_weights_are_found_and_left_out():
    plain = dict(backbone=dict(depth=18, init_cfg=[dict(type='Kaiming')], pretrained=False), neck=None)
    assert not loads_weights(plain) and without_pretrained(plain) == plain
    for part in (
            dict(init_cfg=dict(type='Pretrained', checkpoint='x.pth')), dict(pretrained='torchvision://resnet18'),
            dict(init_cfg=dict(type=PretrainedInit, checkpoint='x.pth')),
            dict(init_cfg=dict(type='mmengine.model.weight_init.PretrainedInit', checkpoint='x.pth')),
            dict(pretrained=True), dict(init_cfg=[dict(type='Kaiming'), dict(type='Pretrained', checkpoint='x.pth')])):
        model = dict(plain, heads=[dict(layers=2, **part)])
        assert loads_weights(model), part
        left = without_pretrained(model)
        assert not loads_weights(left) and left['heads'][0]['layers'] == 2 and left['backbone'] == plain['backbone']
