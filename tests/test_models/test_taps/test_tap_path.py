"""Names of taps: their parts, the modules they name, and the messages about wrong ones."""

import pytest
from mmengine.registry import MODELS
from torch import nn

from mmreviewkd.models.taps.tap_path import TapPath, without_keys
from mmreviewkd.utils import TapError


@pytest.fixture(scope='module')
def model():
    pytest.importorskip('mmpretrain')
    return MODELS.build(dict(
        type='ImageClassifier', backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=64), _scope_='mmpretrain'))


@pytest.mark.parametrize(('tap', 'parts'), [
    ('neck', ('neck', 'output', ())),
    ('neck:input', ('neck', 'input', ())),
    ('backbone.layer1[-1].relu:input', ('backbone.layer1[-1].relu', 'input', ())),
    ('backbone.stages[0]:output[2][-1]', ('backbone.stages[0]', 'output', (2, -1))),
])
def test_a_tap_has_a_path_an_end_and_elements(tap, parts):
    path = TapPath.parse(tap, 'taps')
    assert (path.path, path.end, path.elements) == parts


@pytest.mark.parametrize('tap', ['neck:inptu', 'neck (0)', 'neck:', ':input', '', 'neck:input:output', 'neck:[0]'])
def test_other_forms_are_refused(tap):
    with pytest.raises(TapError, match=r"student.taps: .*names no module; a tap is the path of a module"):
        TapPath.parse(tap, 'student.taps')


def test_modules_are_found_as_python_would(model):
    def found(tap):
        return TapPath.parse(tap, 'taps').resolve(model, 'taps')

    assert found('backbone') is model.backbone
    assert found('backbone.layer2[-1].relu:input') is model.backbone.layer2[-1].relu
    assert found('backbone.layer2.1') is model.backbone.layer2[1]


@pytest.mark.parametrize(('tap', 'message'), [
    ('backbone.layer5', r"'backbone.layer5' names no module; did you mean 'backbone\.layer\d'"),
    ('bakbone.layer1', "did you mean 'backbone'"),
    ('layer1', r"did you mean 'backbone\.layer1'"),
    ('backbone.layer1[7]', r"names no module"),
    ('backbone.depth', 'names no module'),
    ('neck', 'this ImageClassifier has no neck; its parts are backbone, head'),
    ('backbone.xyzw.qqq', r"'backbone' \(a ResNet\) has no xyzw; its parts are conv1, bn1, relu"),
])
def test_a_wrong_name_lists_near_matches_or_the_parts_there_are(model, tap, message):
    with pytest.raises(TapError, match=message):
        TapPath.parse(tap, 'taps').resolve(model, 'taps')


def test_a_container_is_refused_with_its_items():
    model = nn.ModuleDict(dict(blocks1=nn.ModuleList([nn.ReLU(), nn.ReLU()]), heads=nn.ModuleDict(dict(box=nn.ReLU()))))
    with pytest.raises(TapError, match=r"'blocks1' is a ModuleList.*such as 'blocks1\[-1\]'"):
        TapPath.parse('blocks1', 'taps').resolve(model, 'taps')
    with pytest.raises(TapError, match=r"'heads' is a ModuleDict.*such as 'heads.box'"):
        TapPath.parse('heads', 'taps').resolve(model, 'taps')


def test_elements_are_selected_one_after_the_other():
    value = ('tokens', ('a', 'b'))
    assert TapPath.parse('stage', 'taps').select(value) is value
    assert TapPath.parse('stage:output[1][-1]', 'taps').select(value) == 'b'
    with pytest.raises(IndexError):
        TapPath.parse('stage:output[2]', 'taps').select(value)


def test_elements_of_a_dict_are_its_values_in_order():
    value = dict(fine='a', coarse=dict(x='b', y='c'))
    assert TapPath.parse('backbone', 'taps').select(value) is value
    assert TapPath.parse('backbone:output[1][0]', 'taps').select(value) == 'b'
    assert without_keys(value) == ('a', dict(x='b', y='c')) and without_keys([1]) == [1]
