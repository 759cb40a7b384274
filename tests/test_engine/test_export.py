"""Students on this package's backbones run where the package is not."""

import json

import pytest
import torch
from conftest import ROOT, run_tool
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmreviewkd.apis import export_student
from mmreviewkd.studies.without_plugin import command_without_plugin

pytest.importorskip('mmpretrain')

# One student for each of the package's files of backbones.
PAIRS = [
    'cifar100/resnet20_review-resnet56', 'cifar100/wrn-16-2_review-wrn-40-2', 'cifar100/vgg8_review-vgg13',
    'cifar100/mobilenet-v2_review-vgg13', 'cifar100/shufflenet-v1_review-wrn-40-2',
    'cifar100/shufflenet-v2_review-resnet32x4', 'imagenet/mobilenet-v1_review-resnet50']
PREDICT = '''
import json, sys
import torch
from mmpretrain.apis import init_model
for folder in sys.argv[1:]:
    model = init_model(f'{folder}/student.py')
    model.load_state_dict(torch.load(f'{folder}/student.pth', weights_only=True)['state_dict'], strict=True)
    with torch.no_grad():
        scores = model(torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32))[0]
    print('scores', json.dumps(scores.flatten().tolist()))
'''


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """The students' folders, what they give here, and what they give where the package cannot be imported."""
    place = tmp_path_factory.mktemp('exported')
    here = {}
    init_default_scope('mmpretrain')
    for pair in PAIRS:
        cfg = Config.fromfile(ROOT / 'configs' / f'{pair}.py')
        torch.manual_seed(0)
        student = MODELS.build(cfg.model.student.model).eval()
        export_student(cfg, {f'student.{name}': value for name, value in student.state_dict().items()}, place / pair)
        with torch.no_grad():
            here[pair] = student(torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32))[0].flatten()
    (place / 'predict.py').write_text(PREDICT)
    done = run_tool(
        *command_without_plugin(place / 'predict.py', *(place / pair for pair in PAIRS)), cwd=place, PYTHONPATH='')
    lines = [line.removeprefix('scores') for line in done.stdout.splitlines() if line.startswith('scores')]
    return place, here, {pair: torch.tensor(json.loads(line)) for pair, line in zip(PAIRS, lines)}


@pytest.mark.parametrize('pair', PAIRS)
def test_a_student_takes_its_backbone_along(exported, pair):
    place, here, there = exported
    torch.testing.assert_close(there[pair], here[pair], rtol=1e-5, atol=1e-6)
    files = sorted(path.name for path in (place / pair).iterdir())
    assert len(files) == 3
    assert not any('mmreviewkd' in (place / pair / name).read_text() for name in files if name.endswith('.py'))


def test_every_file_of_backbones_is_tried(exported):
    from mmreviewkd.models import backbones
    tried = {path.stem for pair in PAIRS for path in (exported[0] / pair).glob('*.py')} - {'student'}
    files = {MODELS.get(f'mmreviewkd.{name}').__module__.rpartition('.')[2] for name in backbones.__all__}
    assert tried == files - {'mobilenet_v2_stages'}  # a detector's, tried beside its other tests


EXPORT_AGAIN = '''
import sys
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmreviewkd.apis import export_student
first, second = sys.argv[1:]
init_default_scope('mmpretrain')
cfg = Config.fromfile(f'{first}/student.py')
student = MODELS.build(cfg.model)
cfg.model = dict(type='mmreviewkd.ReviewDistiller', student=dict(model=cfg.model), teacher=dict(model=cfg.model))
export_student(cfg, {f'student.{name}': value for name, value in student.state_dict().items()}, second)
'''


def test_a_student_that_began_as_an_exported_one_takes_its_backbone_along_again(exported, tmp_path):
    first, second = exported[0] / PAIRS[0], tmp_path / 'second'
    (tmp_path / 'export_again.py').write_text(EXPORT_AGAIN)
    run_tool(tmp_path / 'export_again.py', first, second, cwd=ROOT)
    assert (second / 'cifar_resnet.py').read_text() == (first / 'cifar_resnet.py').read_text()
    (tmp_path / 'predict.py').write_text(PREDICT)
    done = run_tool(*command_without_plugin(tmp_path / 'predict.py', second), cwd=tmp_path, PYTHONPATH='')
    assert 'scores' in done.stdout


EXPORT_NAMED = '''
import sys
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmreviewkd.apis import export_student, read_config
init_default_scope('mmpretrain')
cfg = read_config(sys.argv[1], 'work_dir')
student = MODELS.build(cfg.model.student.model)
export_student(cfg, {f'student.{name}': value for name, value in student.state_dict().items()}, 'out')
print(ascii(Config.fromfile('out/student.py').metainfo.classes))
'''


@pytest.mark.slow
def test_names_of_any_alphabet_are_kept_where_the_locale_is_ascii(tmp_path):
    (tmp_path / 'export.py').write_text(EXPORT_NAMED)
    base = ROOT / 'configs' / 'cifar100' / 'resnet20_review-resnet56.py'
    (tmp_path / 'named.py').write_text(
        f"_base_ = '{base}'\nmetainfo = dict(classes=('caf\u00e9', '\u732b'))\n", encoding='utf-8')
    done = run_tool('export.py', 'named.py', cwd=tmp_path, PYTHONPATH=str(ROOT), LC_ALL='C', PYTHONUTF8='0',
                    PYTHONCOERCECLOCALE='0')
    assert r"('caf\xe9', '\u732b')" in done.stdout
