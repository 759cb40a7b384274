"""Bad values of every key of ours end in one ConfigError that names the key."""

import math

import pytest
import torch
from conftest import STAGES, STAGES_BEFORE_RELU, cifar_classifier, gray_batch, review_config
from mmengine.registry import HOOKS

from mmreviewkd.models.build import build_model
from mmreviewkd.utils import ConfigError

NO_NUMBER = ['x', None, [1], {}, math.nan, math.inf, -1, True]
NO_COUNT = [*NO_NUMBER, 0, 1.5]
NO_FLAG = ['no', None, 0, 1, []]
NO_NAME = [None, 5, [], {}, 'nonsense']
NO_LIST = [None, 5, 'backbone', {}]


def table(where: str, needle: str, values: list) -> list:
    """One case a value: a dotted key, what the message must contain, the value."""
    return [pytest.param(where, value, needle, id=f'{where}={value!r:.60}') for value in values]


LOSSES = dict(
    HierarchicalContextLoss='distill_loss', FeatureL2Loss='distill_loss', AttentionTransferLoss='distill_loss',
    PearsonCorrelationLoss='distill_loss', LogitDistillationLoss='logit_loss', DecoupledLogitLoss='logit_loss')
CASES = [
    *[case for loss, key in LOSSES.items() for case in table(f'{key}:{loss}.loss_weight', 'loss_weight', NO_NUMBER)],
    *[case for loss in ('LogitDistillationLoss', 'DecoupledLogitLoss')
      for case in table(f'logit_loss:{loss}.temperature', 'temperature', [*NO_NUMBER, 0])],
    *[case for key in ('alpha', 'beta') for case in table(f'logit_loss:DecoupledLogitLoss.{key}', key, NO_NUMBER)],
    *table(
        'distill_loss:HierarchicalContextLoss.pool_sizes', 'pool_sizes',
        [*NO_LIST, [0], [-1], [1.5], ['4'], [True], [math.nan], [None]]),
    *table('warmup_iters', 'warmup_iters', NO_NUMBER),
    *table('warmup_epochs', 'warmup_epochs', NO_NUMBER),
    *table('warmup_ratio', 'warmup_ratio', NO_NUMBER),
    *table('compile', 'compile', ['yes', None, 1, [], 'inductor']),
    *table('compile.bakend', "did you mean 'backend'", ['eager']),
    *table('compile.backend', 'compile.backend', ['inductr', None, 5, []]),
    *table('compile.mode', 'compile.mode', ['fast', 5, []]),
    *table('compile.fullgraph', 'compile.fullgraph', NO_FLAG),
    *table('compile.dynamic', 'compile.dynamic', ['no', 1]),
    *table('compile.options', 'compile.options', ['x', 5]),
    *table('connector:ReviewConnector.with_cp', 'with_cp', NO_FLAG),
    *table('connector:ReviewConnector.implementation', 'implementation', NO_NAME),
    *table('connector:ReviewConnector.fusion', 'fusion', NO_NAME),
    *[case for kind in ('ReviewConnector', 'PairwiseConnector')
      for case in table(f'connector:{kind}.mid_channels', 'mid_channels', [v for v in NO_COUNT if v is not None])],
    *[case for kind in ('ReviewConnector', 'PairwiseConnector', 'SameLevelConnector')
      for case in table(f'connector:{kind}.in_channels', 'in_channels', [5, None, 'x', [1, 2], [4, 4, 8, -1]])],
    *table('connector:PairwiseConnector.pairs', 'pairs', [5, 'x', [], [[0, 9]], [[0]], [[True, 0]], [[0, 0], [0, 0]]]),
    *table('connector:AttentionBasedFusion.in_channels', 'connector.in_channels', [4]),
    *[case for key in ('connector', 'distill_loss', 'logit_loss')
      for case in table(key, key, [5, 'ReviewConnector', [], {}, False, dict(type=5), dict(type=None), {5: 5}])],
    *table('connector.type', "did you mean 'mmreviewkd.ReviewConnector'", ['ReviewConector']),
    *table('connector.type', 'connector', ['Nonsense', 'other.Connector', '']),
    *table('distill_loss.type', "did you mean 'mmreviewkd.HierarchicalContextLoss'", ['HierarchicalContextLos']),
    *table('distill_loss:HierarchicalContextLoss.los_weight', "did you mean 'loss_weight'", [1.0]),
    *table('student', 'student', [None, 5, 'x', [], {}, True]),
    *table('teacher', 'teacher', [None, 5, 'x', [], {}, True]),
    *[case for part in ('student', 'teacher') for case in [
        *table(
            f'{part}.model', f'{part}.model',
            [None, 5, '', 'missing.py', 'mmnone::x.py', [], {}, dict(type=5), '.']),
        *table(f'{part}.taps', f'{part}.taps', [
            *NO_LIST, [5], [None], [''], ['backbone.layer9'], [['neck']], ['neck', 'neck'], ['neck[7'], ['a b'],
            [dict(tap='neck')], [dict(type='TokensToMap', tap=5)], [dict(type='TokensToMap', tap='neck')]]),
        *table(f'{part}.taps', "did you mean 'mmreviewkd.TokensToMap'", [[dict(type='TokenToMap', tap='neck')]]),
        *table(f'{part}.taps', 'num_extra_tokens', [
            [dict(type='TokensToMap', tap='neck', num_extra_tokens=value)] for value in NO_NUMBER]),
        *table(f'{part}.model.type', "did you mean 'mmpretrain.ImageClassifier'", ['ImageClasifier']),
        *table(f'{part}.model.backbone.type', "did you mean 'mmreviewkd.CIFARResNet'", ['mmreviewkd.CIFARResNt']),
        *table(f'{part}.model.backbone.depth', f'{part}.model', ['x', None, 9, []]),
        *table(f'{part}.tapss', "did you mean 'taps'", [[]]),
    ]],
    *[case for part in ('student', 'teacher') for case in [
        *table(f'{part}.logits', f'{part}.logits', [5, [], '', None]),
        *table(f'{part}.logits', "did you mean 'head.fc'", ['head.fx'])]],
    *table('teacher.checkpoint', 'teacher.checkpoint', [5, [], '', True, {}, None, 'missing.pth', '.', 'metafile']),
    *table('teacher.autocast', 'teacher.autocast', ['fp16', 5, True, [], 'float32']),
    *table('init_cfg', 'init_cfg', ['x', 5, [5], dict(typ='Kaiming')]),
    *table('data_preprocessor', 'data_preprocessor', [5, 'x', []]),
    *table('data_preprocessor', 'Nonsense is not in the', [dict(type='Nonsense')]),
    *table('warmup_itres', "did you mean 'warmup_iters'", [5]),
]


def changed(where: str, value: object) -> dict:
    """The small distillation with one bad value; ``key:Type.setting`` makes that component the key's."""
    config = review_config()
    if 'logit' in where:
        for part in (config['student'], config['teacher']):
            part['logits'] = 'head.fc'
        config['logit_loss'] = dict(type='LogitDistillationLoss')
    if 'AttentionTransferLoss' in where:
        config['connector'] = None
    path, _, setting = where.partition(':')
    node, *keys = config, *path.split('.')
    if setting:
        kind, key = setting.split('.')
        node[path] = dict(type=kind)
        node, keys = node[path], [key]
    defaults = dict(
        connector=dict(type='ReviewConnector'), distill_loss=dict(type='HierarchicalContextLoss'), compile={})
    for key in keys[:-1]:
        node = node.setdefault(key, defaults.get(key))
    node[keys[-1]] = value
    return config


@pytest.fixture(autouse=True)
def _small_probes(probes_of_32_pixels):
    pass


@pytest.mark.parametrize(('where', 'value', 'needle'), CASES)
def test_a_bad_value_is_named(where, value, needle):
    with pytest.raises(ConfigError) as caught:
        build_model(changed(where, value), 'model').init_weights()
    message = str(caught.value)
    assert needle in message
    assert '(mmreviewkd.ReviewDistiller) cannot be built' not in message
    assert len(message) < 1000


@pytest.mark.parametrize('hook', [
    *[dict(type='FiniteLossHook', patience=value) for value in NO_COUNT],
    *[dict(type='FiniteLossHook', interval=value) for value in NO_COUNT],
    *[dict(type='ExportStudentHook', out_dir=value) for value in (5, '', [], {}, True)],
    dict(type='ExportStudentHook', outdir='x'),
    dict(type='ChannelsLastHook', interval=1),
], ids=repr)
def test_a_bad_hook_is_named(hook):
    with pytest.raises(ConfigError, match=f'{hook["type"]}.*{list(hook)[1]}'):
        HOOKS.build(dict(hook, type=f'mmreviewkd.{hook["type"]}'))


@pytest.mark.parametrize('fuse', NO_FLAG, ids=repr)
def test_a_bad_fusion_is_named(fuse):
    with pytest.raises(ConfigError, match='AttentionBasedFusion: fuse'):
        build_model(dict(
            type='mmreviewkd.AttentionBasedFusion', in_channels=4, mid_channels=4, out_channels=4, fuse=fuse), 'model')


@pytest.mark.parametrize('fusion', ['AttentionBasedFusion', 'AdditionFusion'])
@pytest.mark.parametrize('channels', [v for v in NO_COUNT if not isinstance(v, bool)], ids=repr)
def test_bad_channels_are_named(fusion, channels):
    with pytest.raises(ConfigError, match=f'{fusion}: mid_channels must be an integer of at least 1'):
        build_model(
            dict(type=f'mmreviewkd.{fusion}', in_channels=4, mid_channels=channels, out_channels=4), 'model')


def test_good_values_pass():
    for where, value in (
            ('distill_loss:HierarchicalContextLoss.loss_weight', 0), ('warmup_iters', 10), ('warmup_epochs', 2.0),
            ('logit_loss:LogitDistillationLoss.temperature', 0.5), ('connector', None),
            ('compile', dict(backend='eager', dynamic=None, mode=None)), ('connector:ReviewConnector.with_cp', True)):
        config = changed(where, value)
        if where == 'connector':
            config['distill_loss'] = dict(type='AttentionTransferLoss')
        build_model(config, 'model')


def test_a_batch_of_one_image_names_drop_last():
    distiller = build_model(review_config(), 'model').train()
    distiller.init_weights()
    with pytest.raises(ConfigError, match=r'train_dataloader.drop_last=True'):
        distiller(**distiller.data_preprocessor(gray_batch(1), True), mode='loss')


def test_a_teacher_that_is_not_finite_is_named(tmp_path):
    model = cifar_classifier(14, (8, 8, 16, 32))
    state = build_model(model, 'model').state_dict()
    state['backbone.layer2.0.conv1.weight'][0, 0] = math.nan
    torch.save(dict(state_dict=state), tmp_path / 'teacher.pth')
    distiller = build_model(review_config(teacher=dict(
        model=model, checkpoint=str(tmp_path / 'teacher.pth'), taps=STAGES_BEFORE_RELU)), 'model')
    with pytest.raises(ConfigError, match=r'teacher.checkpoint: .*teacher.pth.*1 of \d+ .*layer2.0.conv1.weight'):
        distiller.init_weights()


def test_different_numbers_of_levels_are_named():
    with pytest.raises(ConfigError, match='3 levels of the student'):
        build_model(review_config(student=dict(model=cifar_classifier(), taps=STAGES[:3])), 'model')
