"""The optimizer treats each parameter of the student as without distillation."""

import copy

import pytest
import torch
from conftest import cifar_classifier, review_config
from detection import mmdet_model
from mmengine.config import Config
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_CONSTRUCTORS
from torch import nn

from mmreviewkd.models.distillers.parameter_groups import check_optimizer
from mmreviewkd.utils import ConfigError
from mmreviewkd.utils.config import load_config

ARCH = dict(embed_dims=24, num_layers=4, num_heads=2, feedforward_channels=48)
TRANSFORMERS = {
    'deit': dict(type='VisionTransformer', arch=ARCH, img_size=64),
    'distilled deit': dict(type='DistilledVisionTransformer', arch=ARCH, img_size=64),
    'swin': dict(type='SwinTransformer', img_size=64, pad_small_map=True, arch=dict(
        embed_dims=8, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8])),
    'convnext': dict(type='ConvNeXt', arch=dict(depths=[1, 1, 3, 1], channels=[8, 16, 24, 32])),
}
RECIPES = {
    'mae': 'mmpretrain::mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py',
    'simmim': 'mmpretrain::simmim/benchmarks/swin-base-w6_8xb256-coslr-100e_in1k-192px.py',
    'spark': 'mmpretrain::spark/benchmarks/convnextv2-tiny_8xb256-coslr-300e_in1k.py',
    'swin': 'mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py',
}
FEW_DECAYED = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0, bias_lr_mult=2, custom_keys={'backbone': dict(lr_mult=0.1)}))


def recipe(name):
    """The optimizer of a config of mmpretrain's."""
    found = copy.deepcopy(load_config(RECIPES[name], 'recipe').optim_wrapper)
    found.pop('type', None)
    return found


def settings(model, cfg):
    """Everything that the optimizer's groups say of each parameter, by name, in the order of the groups."""
    model = model.train()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {}
    for group in build_optim_wrapper(model, cfg).optimizer.param_groups:
        said = {key: value for key, value in group.items() if key not in ('params', 'param_names', 'param_name')}
        found.update({names[id(parameter)]: said for parameter in group['params']})
    return found


def distiller_of(model, tap):
    return MODELS.build(dict(
        type='mmreviewkd.ReviewDistiller', student=dict(model=model, taps=[tap]),
        teacher=dict(model=model, checkpoint='init_cfg', taps=[tap]),
        connector=dict(type='ReviewConnector', mid_channels=4)))


def assert_same_for_the_student(model, tap, cfg):
    alone, distilled = settings(MODELS.build(model), cfg), settings(distiller_of(model, tap), cfg)
    students = {name.removeprefix('student.'): said for name, said in distilled.items() if name.startswith('student.')}
    assert students == alone
    assert list(students) == list(alone)
    others = {name: said for name, said in distilled.items() if not name.startswith('student.')}
    assert len(others) > 5 and all(name.startswith('connector.') for name in others)
    assert {said['lr'] for said in others.values()} == {cfg['optimizer']['lr']}
    return students


@pytest.mark.parametrize(('network', 'optimizer'), [
    ('deit', 'mae'), ('distilled deit', 'mae'), ('swin', 'simmim'), ('convnext', 'spark'), ('swin', 'swin')])
def test_layers_of_mmpretrains_networks_keep_their_learning_rates(network, optimizer):
    pytest.importorskip('mmpretrain')
    head, channels, tap = {
        'deit': ('VisionTransformerClsHead', 24, dict(
            type='TokensToMap', tap='backbone.layers[-1]', num_extra_tokens=1)),
        'distilled deit': ('DeiTClsHead', 24, dict(type='TokensToMap', tap='backbone.layers[-1]', num_extra_tokens=2)),
        'swin': ('LinearClsHead', 64, 'neck'),
        'convnext': ('LinearClsHead', 32, 'backbone.stages[-1]')}[network]
    model = dict(
        type='ImageClassifier', backbone=TRANSFORMERS[network],
        neck=dict(type='GlobalAveragePooling') if network == 'swin' else None,
        head=dict(type=head, num_classes=3, in_channels=channels))
    found = assert_same_for_the_student(model, tap, recipe(optimizer))
    rates = {said['lr'] for said in found.values()}
    assert len(rates) == dict(swin=1, simmim=7).get(optimizer, 6)


@pytest.fixture
def small_convnext_detector():
    pytest.importorskip('mmpretrain')  # ConvNeXt
    init_default_scope('mmdet')
    model = mmdet_model('convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py')
    model.backbone.arch = dict(depths=[1, 1, 7, 1], channels=[8, 16, 24, 32])
    model.neck.update(in_channels=[8, 16, 24, 32], out_channels=8)
    model.rpn_head.update(in_channels=8, feat_channels=8)
    for head in (model.roi_head.bbox_head, model.roi_head.mask_head):
        head.in_channels = 8
    model.roi_head.bbox_head.fc_out_channels = 8
    for extractor in (model.roi_head.bbox_roi_extractor, model.roi_head.mask_roi_extractor):
        extractor.out_channels = 8
    return model


def test_layers_of_mmdets_detectors_keep_their_learning_rates(small_convnext_detector):
    cfg = load_config('mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py', 'recipe').optim_wrapper
    cfg.type = 'OptimWrapper'
    found = assert_same_for_the_student(small_convnext_detector, 'neck', cfg)
    assert len({said['lr'] for said in found.values()}) == 8


def test_stages_of_mmdets_detectors_keep_their_learning_rates(small_convnext_detector):
    cfg = load_config('mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py', 'recipe').optim_wrapper
    cfg.type, cfg.paramwise_cfg.decay_type = 'OptimWrapper', 'stage_wise'
    found = assert_same_for_the_student(small_convnext_detector, 'neck', cfg)
    assert len({said['lr'] for said in found.values()}) > 3


def test_custom_keys_and_options_by_kind_apply_as_without_distillation():
    found = assert_same_for_the_student(cifar_classifier(), 'backbone.layer3', FEW_DECAYED)
    assert found['backbone.layer1.0.bn1.weight']['lr'] == pytest.approx(0.01)
    assert found['head.fc.bias']['lr'] == pytest.approx(0.2)


@pytest.mark.parametrize('paramwise', [
    dict(bias_decay_mult=0.5), dict(norm_decay_mult=0.0), dict(dwconv_decay_mult=0.1), dict(flat_decay_mult=0.2),
    dict(bypass_duplicate=True),
    dict(norm_decay_mult=0.0, bias_lr_mult=2.0, bias_decay_mult=0.0, bypass_duplicate=True, custom_keys={
        'backbone.conv1': dict(lr_mult=0.1), '.bn': dict(decay_mult=0.3), 'head': dict(lr_mult=5.0, eps=1e-3)}),
], ids=lambda paramwise: '-'.join(paramwise))
def test_options_of_mmengines_constructor_apply_as_without_distillation(paramwise):
    model = cifar_classifier()
    model['backbone'] = dict(type='mmreviewkd.CIFARMobileNetV2', in_channels=1)
    model['head']['in_channels'] = 1280
    cfg = dict(optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.05), paramwise_cfg=paramwise)
    found = assert_same_for_the_student(model, 'backbone.layer3', cfg)
    if 'bypass_duplicate' not in paramwise:
        assert len({said['weight_decay'] for said in found.values()}) > 1


class Shared(BaseModel):
    """A model that holds its head a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU())
        self.head = nn.Conv2d(4, 2, 1)
        self.alias = self.head

    def extract_feat(self, inputs):
        return self.backbone(inputs)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.head(self.backbone(inputs))


def test_parameters_that_a_student_shares_are_grouped_once():
    cfg = dict(
        optimizer=dict(type='SGD', lr=0.1, weight_decay=0.1),
        paramwise_cfg=dict(bypass_duplicate=True, bias_decay_mult=0.0, custom_keys={'head': dict(lr_mult=2.0)}))
    model = dict(type=Shared)
    found = assert_same_for_the_student(model, 'backbone', cfg)
    assert len(found) == 4 and found['head.bias']['lr'] == 0.2


@MMENGINE_CONSTRUCTORS.register_module()
class ByName:
    """Groups the parameters of some modules, and knows nothing of others."""

    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        self.cfg, self.names = optim_wrapper_cfg, paramwise_cfg['names']

    def __call__(self, model):
        wrappers = {
            name: build_optim_wrapper(getattr(model, name), copy.deepcopy(self.cfg)) for name in self.names}
        return OptimWrapperDict(**wrappers) if len(wrappers) > 1 else wrappers.popitem()[1]


@pytest.mark.parametrize(('names', 'message'), [
    (['student'], r"constructor leaves \d+ parameters out of the optimizer, such as 'connector\.blocks\.0"),
    (['student', 'connector'], r'optim_wrapper builds 2 optimizers \(student, connector\), but'),
])
def test_an_optimizer_that_leaves_the_connector_out_is_refused(names, message):
    model = MODELS.build(review_config())
    cfg = dict(constructor='ByName', optimizer=dict(type='SGD', lr=0.1))
    with pytest.raises(ConfigError, match=message):
        check_optimizer(model, build_optim_wrapper(model, dict(cfg, paramwise_cfg=dict(names=names))))
    check_optimizer(model, build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1))))


def test_the_connector_has_settings_of_its_own():
    cfg = copy.deepcopy(FEW_DECAYED)
    cfg['paramwise_cfg']['custom_keys']['connector'] = dict(lr_mult=3.0, decay_mult=0.5)
    found = settings(distiller_of(cifar_classifier(), 'backbone.layer3'), cfg)
    connectors = [said for name, said in found.items() if name.startswith('connector.')]
    assert {(said['lr'], said['weight_decay']) for said in connectors} == {(0.1 * 3.0, 1e-4 * 0.5)}


def test_keys_by_the_distillers_names_still_work():
    cfg = copy.deepcopy(FEW_DECAYED)
    cfg['paramwise_cfg']['custom_keys'] = {'student': dict(lr_mult=0.5), 'student.head': dict(lr_mult=0.25)}
    found = settings(distiller_of(cifar_classifier(), 'backbone.layer3'), cfg)
    assert found['student.backbone.conv1.weight']['lr'] == 0.05
    assert found['student.head.fc.bias']['lr'] == 0.025
    assert found['connector.blocks.0.conv1.0.weight']['lr'] == 0.1


def test_without_options_all_parameters_make_one_group():
    model = MODELS.build(review_config())
    groups = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1))).optimizer.param_groups
    assert [len(group['params']) for group in groups] == [len(list(model.parameters()))]


def test_a_wrapped_distiller_is_grouped_alike(tmp_path):
    plain = MODELS.build(review_config())
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        wrapped = MMDistributedDataParallel(plain)
        found, expected = (build_optim_wrapper(model, FEW_DECAYED).optimizer.param_groups for model in (wrapped, plain))
        assert [group['lr'] for group in found] == [group['lr'] for group in expected]
    finally:
        torch.distributed.destroy_process_group()


def test_other_models_are_grouped_as_ever():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    groups = build_optim_wrapper(model, Config(dict(
        optimizer=dict(type='SGD', lr=1.0, weight_decay=0.5), paramwise_cfg=dict(norm_decay_mult=0)))._cfg_dict
    ).optimizer.param_groups
    assert [group['weight_decay'] for group in groups] == [0.5, 0.5, 0, 0]
