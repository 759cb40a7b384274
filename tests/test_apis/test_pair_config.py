"""The text of a pair's config, read back by MMEngine."""

import pytest
from mmengine.config import Config

from mmreviewkd.apis.pair_config import is_pure_python, pair_config
from mmreviewkd.models.taps.proposal import Proposal
from mmreviewkd.models.taps.survey import Feature
from mmreviewkd.utils import ConfigError

BASE = "model = dict(type='Net', depth=8)\nschedule = dict(epochs=1, rates=dict(first=1, last=2))\n"
PURE_PYTHON = 'from mmengine.model import BaseModel\n\n' + BASE.replace("'Net'", 'BaseModel')


def feature(module, channels, stride, size):
    return Feature(module, module, module, 1, 'map', channels, size, stride, 0, 'Stage', True)


def proposal(widest=32):
    levels = feature('fine', 16, 4, (7, 7)), feature('coarse', widest, 8, (4, 4)), feature('neck', 8, 28, (1, 1))
    return Proposal(levels, levels, ((3, 28, 28), (3, 28, 28)))


def written(folder, text=BASE, options=None, **changes):
    """The config that is written for a student of this text, and its text."""
    student, pair = folder / 'student.py', folder / 'pairs' / 'pair.py'
    student.write_text(text)
    pair.parent.mkdir()
    pair.write_text(pair_config(
        str(student), 'teacher.py', 'teacher.pth', proposal(**changes), Config.fromfile(student), pair.parent, options))
    return Config.fromfile(pair), pair.read_text()


def test_the_student_is_wrapped_whole(tmp_path):
    cfg, text = written(tmp_path)
    assert cfg.model.student.to_dict() == dict(model=dict(type='Net', depth=8), taps=['fine', 'coarse', 'neck'])
    assert cfg.model.teacher.checkpoint == 'teacher.pth' and 'depth' not in cfg.model
    assert [hook.type for hook in cfg.custom_hooks] == ['mmreviewkd.LevelScalarsHook', 'mmreviewkd.LevelPicturesHook']
    assert '# Levels by stride, fine to coarse: 4, 8, pooled.' in text and "'../student.py'" in text


def test_the_teacher_s_files_are_those_of_the_working_folder(tmp_path, monkeypatch):
    """Files of the same names beside the written config are another teacher's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'pairs').mkdir()
    for name in ('student.py', 'teacher.py', 'teacher.pth', 'init_cfg'):
        (tmp_path / name).write_text(BASE)
        (tmp_path / 'pairs' / name).write_text(BASE)
    file = tmp_path / 'pairs' / 'pair.py'

    def teacher(checkpoint):
        file.write_text(pair_config(
            'student.py', 'teacher.py', checkpoint, proposal(), Config.fromfile('student.py'), file.parent))
        return Config.fromfile(file).model.teacher

    assert (teacher('teacher.pth').model, teacher('teacher.pth').checkpoint) == ('../teacher.py', '../teacher.pth')
    for other in ('init_cfg', 'https://host/teacher.pth', str(tmp_path / 'teacher.pth')):
        assert teacher(other).checkpoint == other


@pytest.mark.parametrize(('widest', 'width'), [(32, 32), (2048, 256)])
def test_the_review_path_is_as_wide_as_the_student_up_to_256(tmp_path, widest, width):
    assert written(tmp_path, widest=widest)[0].model.connector.mid_channels == width


@pytest.mark.parametrize(('text', 'pure_python'), [(BASE, False), (PURE_PYTHON, True)], ids=['base', 'pure Python'])
def test_an_option_changes_one_value_of_either_kind_of_config(tmp_path, text, pure_python):
    cfg, found = written(tmp_path, text, {
        'schedule.rates.last': 3, 'model.connector.mid_channels': 5, 'randomness.seed': 7})
    assert is_pure_python(Config.fromfile(tmp_path / 'student.py')) is pure_python
    assert len(found.splitlines()) < 30 and ('from ..student import *' in found) is pure_python
    assert cfg.randomness.seed == 7 and 'student' in cfg.model and 'read_base' not in cfg.to_dict()
    assert cfg.schedule.to_dict() == dict(epochs=1, rates=dict(first=1, last=3))
    assert cfg.model.connector.mid_channels == 5 and cfg.model.student.model.depth == 8


def test_a_pure_python_config_that_cannot_be_imported_is_written_out(tmp_path):
    folder = tmp_path / 'my-configs'
    folder.mkdir()
    pair = tmp_path / 'pair.py'
    (folder / 'student.py').write_text(PURE_PYTHON)
    cfg = Config.fromfile(folder / 'student.py')
    pair.write_text(pair_config(
        str(folder / 'student.py'), 'teacher.py', 'teacher.pth', proposal(), cfg, tmp_path,
        {'schedule.rates.last': 3}))
    found = Config.fromfile(pair)
    assert 'read_base' not in pair.read_text() and found.schedule.rates.to_dict() == dict(first=1, last=3)
    assert found.model.student.model.type == 'mmengine.model.BaseModel'


def test_an_option_inside_of_a_value_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"checkpoint\.md5 sets a key of 'checkpoint', which is no dict"):
        written(tmp_path, options={'model.teacher.checkpoint.md5': 'a'})


def test_a_student_of_an_installed_package_stays_a_reference(tmp_path):
    pytest.importorskip('mmpretrain')
    student = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'
    text = pair_config(student, 'teacher.py', 'teacher.pth', proposal(), Config(), tmp_path)
    assert f'_base_ = {student!r}\n' in text


@pytest.mark.parametrize('text', [BASE, PURE_PYTHON])
def test_weights_that_the_student_starts_from_stay_its_own(tmp_path, text):
    cfg, _ = written(tmp_path, f"{text}load_from = 'start.pth'\n")
    assert cfg.load_from is None
    assert cfg.model.student.model.init_cfg == dict(type='Pretrained', checkpoint='start.pth')
    assert cfg.model.student.model.depth == 8
