"""Every snippet of README and docs runs, or, where it needs hours or what is not here, is dry-run as far as it goes.

Python runs, or is read as a config whose model is built. Commands are given to the tools' own parsers, and options to
the configs that they name. The walk of docs/own_pair.md is run with fewer images, that of docs/plain_pytorch.md by
test_plain_pytorch.py.
"""

import argparse
import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from snippets import check_command, commands, run_in_this_process, snippets

from mmreviewkd.apis import read_config
from mmreviewkd.utils import ConfigError

# The pages whose snippets build on each other, and are run in their order below.
WALKS = ['docs/own_pair.md', 'docs/plain_pytorch.md']
# What the snippets have that test_plain_pytorch.py and test_reuse.py run.
ELSEWHERE = ('distiller(student, teacher', 'ReviewedDetector')
PYTHON = [snippet for snippet in snippets('python')
          if snippet.page not in WALKS and not any(text in snippet.text for text in ELSEWHERE)]
CONFIG = re.compile(r'^(?:_base_|model|custom_hooks|visualizer) = ', re.MULTILINE)
# What a fragment of a config stands on.
BASE = "_base_ = 'mmreviewkd::fashion_mnist/resnet8_review-resnet14.py'\n"


@pytest.mark.parametrize('snippet', PYTHON, ids=str)
def test_python_runs(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not CONFIG.search(snippet.text):
        exec(compile(snippet.text, str(snippet), 'exec'), {'__name__': '__main__'})
        return
    pytest.importorskip('mmpretrain')
    whole = '_base_ = ' in snippet.text
    Path('config.py').write_text(snippet.text if whole else BASE + snippet.text)
    cfg = Config.fromfile('config.py')
    assert all('type' in hook for hook in cfg.get('custom_hooks', []))
    if whole:
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            model = MODELS.build({'data_preprocessor': cfg.data_preprocessor, **cfg.model})
        assert model.student_probe.channels


def read_or_skip(config, cfg_options):
    """Read a config; the test is skipped where a library of its base configs is missing."""
    try:
        read_config(config, cfg_options=cfg_options)
    except ConfigError as error:
        if 'not installed' in str(error) and not all(map(find_spec, ('mmpretrain', 'mmdet', 'mmseg'))):
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize('snippet', snippets('shell'), ids=str)
def test_commands_are_accepted(snippet, monkeypatch):
    monkeypatch.chdir(ROOT)
    for command in commands(snippet.text):
        arguments = vars(check_command(command) or argparse.Namespace())
        config = arguments.get('config')
        if isinstance(config, str) and config.startswith('configs/') and arguments.get('cfg_options') is not None:
            read_or_skip(config, arguments['cfg_options'])
        elif isinstance(config, str) and config.startswith('configs/'):
            assert Path(config).is_file()


@pytest.mark.slow
def test_the_walk_of_a_pair_of_ones_own(tmp_path, fashion_mnist, monkeypatch):
    pytest.importorskip('mmpretrain')
    monkeypatch.chdir(tmp_path)
    for name in ('configs', 'tools'):
        os.symlink(ROOT / name, name)
    Path('data').mkdir()
    os.symlink(fashion_mnist, 'data/fashion_mnist')
    blocks = [snippet for snippet in snippets('python', 'shell') if snippet.page == 'docs/own_pair.md']
    student, train_teacher, propose, pair, train_pair = (few_images(block.text) for block in blocks[:5])
    Path('my_student.py').write_text(student)
    for command in [*commands(train_teacher), *commands(propose)]:
        run_in_this_process(command)
    assert Path('my_pair.py').read_text().strip() == pair.strip()
    for command in commands(train_pair):
        run_in_this_process(command)
    exported = Path('work_dirs/my_pair/student/student.py').read_text()
    assert 'mmreviewkd' not in exported
    assert len(list(Path('work_dirs/my_pair').glob('*/vis_data/vis_image/levels_image1_*.png'))) == 3


def few_images(text):
    return text.replace('12800', '256').replace('6400', '128')
