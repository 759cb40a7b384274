"""Paths in a config are seen from its folder, then from the working folder."""

from mmengine.config import Config

from mmreviewkd.utils.config_paths import resolve_paths

TEXT = '''
model = dict(
    student=dict(model='student.py'), teacher=dict(model='mmreviewkd::fashion_mnist/resnet14.py', checkpoint={!r}))
'''


def resolved(folder, checkpoint):
    (folder / 'pair.py').write_text(TEXT.format(checkpoint))
    cfg = Config.fromfile(folder / 'pair.py')
    resolve_paths(cfg)
    return cfg.model


def test_a_file_beside_the_config_comes_first(tmp_path, monkeypatch):
    folder, elsewhere = tmp_path / 'configs', tmp_path / 'elsewhere'
    for place in (folder, elsewhere):
        place.mkdir()
        (place / 'teacher.pth').touch()
    (folder / 'student.py').touch()
    monkeypatch.chdir(elsewhere)
    model = resolved(folder, 'teacher.pth')
    assert model.teacher.checkpoint == str(folder / 'teacher.pth')
    assert model.student.model == str(folder / 'student.py')
    assert model.teacher.model == 'mmreviewkd::fashion_mnist/resnet14.py'


def test_everything_else_stays_as_it_is(tmp_path, monkeypatch):
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'here.pth').touch()
    monkeypatch.chdir(tmp_path)
    for value in ('here.pth', 'absent.pth', 'metafile', 'https://example.org/a.pth', str(tmp_path / 'here.pth'), None):
        assert resolved(tmp_path / 'configs', value).teacher.checkpoint == value
    assert resolved(tmp_path / 'configs', '../here.pth').teacher.checkpoint.endswith('configs/../here.pth')


def test_a_config_without_a_distillation_is_left_alone(tmp_path):
    (tmp_path / 'alone.py').write_text("model = dict(type='ImageClassifier')\n")
    cfg = Config.fromfile(tmp_path / 'alone.py')
    resolve_paths(cfg)
    resolve_paths(Config(dict(model=dict(teacher=dict(checkpoint='a.pth')))))
    assert cfg.model == dict(type='ImageClassifier')
