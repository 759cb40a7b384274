"""A source distribution is complete, and a wheel built from it works where it is installed."""

import subprocess
import sys
import tarfile

import pytest
from conftest import ROOT, run_tool

FOLDERS = ('configs', 'docs', 'mmreviewkd', 'requirements', 'tests', 'tools')
USE = '''
import mmreviewkd, pathlib
from mmengine.config import Config
from mmreviewkd.registry import MODELS
assert mmreviewkd.__file__.startswith('{target}'), mmreviewkd.__file__
pathlib.Path('own.py').write_text("_base_ = 'mmreviewkd::cifar100/resnet20.py'")
backbone = Config.fromfile('own.py').model.backbone
print(len(MODELS.build(backbone).layer1))
'''


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """A source distribution of a clean copy of the repository, and what is in it."""
    folder = tmp_path_factory.mktemp('built')
    tracked = subprocess.run(['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True).stdout.split('\n')[:-1]
    if not tracked:
        pytest.skip('this is no git checkout, in which the tracked files are known')
    for name in filter(lambda name: (ROOT / name).is_file(), tracked):
        (folder / 'source' / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / 'source' / name).write_bytes((ROOT / name).read_bytes())
    run_tool('setup.py', '-q', 'sdist', '--dist-dir', folder, cwd=folder / 'source')
    with tarfile.open(*folder.glob('*.tar.gz')) as archive:
        archive.extractall(folder / 'unpacked', filter='data')
    return tracked, *(folder / 'unpacked').iterdir()


def test_the_source_distribution_has_all_that_users_and_tests_need(built):
    tracked, unpacked = built
    missing = [name for name in tracked if name.startswith(tuple(f'{folder}/' for folder in FOLDERS))
               and not (unpacked / name).is_file()]
    assert missing == []
    assert (unpacked / 'model-index.yml').is_file() and not list(unpacked.rglob('__pycache__'))


def test_a_wheel_of_it_works_where_it_is_installed(built, tmp_path):
    target = tmp_path / 'site'
    done = subprocess.run(
        [sys.executable, '-m', 'pip', 'install', '-q', '--no-index', '--no-deps', '--no-build-isolation',
         '--target', target, built[1]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    installed = {path.name for path in (target / 'mmreviewkd' / '.mim').iterdir()}
    assert installed == {'configs', 'tools', 'model-index.yml'}
    assert (target / 'mmreviewkd' / 'ops' / 'compiled' / 'winograd.cpp').is_file()
    result = run_tool('-c', USE.format(target=target), cwd=tmp_path, PYTHONPATH=str(target))
    assert result.stdout.splitlines()[-1] == '3'
    metadata, = target.glob('*.dist-info/METADATA')
    extras = {line.split()[1] for line in metadata.read_text().splitlines() if line.startswith('Provides-Extra')}
    assert extras == {'classification', 'detection', 'segmentation', 'all', 'docs', 'tests', 'mim'}
