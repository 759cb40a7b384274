"""What CONTRIBUTING.md and the Makefile tell a new contributor to do works."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

PAGE = (ROOT / 'CONTRIBUTING.md').read_text()
EXAMPLES = re.findall(r'^\| an? .+ \| `(mmreviewkd/.+\.py)` \|', PAGE, re.MULTILINE)
USE = '''
import torch
from mmengine.registry import HOOKS, MODELS, init_default_scope
init_default_scope('mmpretrain')
def network(kind, **settings):
    return dict(type='ImageClassifier', backbone=dict(type=kind, **settings))
backbone = dict(depth=8, in_channels=1)
model = MODELS.build(dict(
    type='mmreviewkd.ReviewDistiller',
    student=dict(
        model=dict(
            **network('mmreviewkd.NewCIFARVGG', **backbone), neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=10, in_channels=512)),
        taps=['backbone.layer4', 'backbone.layer5']),
    teacher=dict(
        model=network('mmreviewkd.CIFARVGG', **backbone), checkpoint='init_cfg',
        taps=['backbone.layer4', 'backbone.layer5']),
    connector=dict(type='NewSameLevelConnector'), distill_loss=dict(type='NewFeatureL2Loss')))
from mmpretrain.structures import DataSample
losses = model(torch.randn(2, 1, 16, 16), [DataSample().set_gt_label(i) for i in range(2)], mode='loss')
losses['loss_distill'].backward()
adapter = MODELS.build(dict(type='mmreviewkd.NewChannelsLastToMap'))
assert adapter(torch.zeros(2, 4, 5, 8), (16, 20)).shape == (2, 8, 4, 5)
hook = HOOKS.build(dict(type='mmreviewkd.NewChannelsLastHook'))
used = [model.student.backbone, model.connector, model.distill_loss, adapter, hook]
print(sorted(type(part).__name__ for part in used))
'''


def add_a_component(package, example):
    """Copy an example, rename file and class, and import it beside the others."""
    source = (ROOT / example).read_text()
    name = re.search(r'_module\(\)\n(?:@.+\n)*class (\w+)', source)[1]
    example = package.parent / example
    copy = example.with_name(f'new_{example.name}')
    copy.write_text(source.replace(name, f'New{name}'))
    with open(example.with_name('__init__.py'), 'a') as file:
        file.write(f"\nfrom .{copy.stem} import New{name}\n__all__ += ['New{name}']\n")
    return f'New{name}'


@pytest.mark.slow
def test_a_component_of_every_kind_is_added_as_the_page_says(tmp_path):
    pytest.importorskip('mmpretrain')
    package = tmp_path / 'mmreviewkd'
    shutil.copytree(ROOT / 'mmreviewkd', package, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
    added = [add_a_component(package, example) for example in EXAMPLES]
    assert len(added) == 5
    done = subprocess.run(
        [sys.executable, '-c', USE], cwd=tmp_path, capture_output=True, text=True, env={'PYTHONPATH': str(tmp_path)})
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == str(sorted(added))


def test_every_file_that_the_page_names_exists():
    made_up = {'mmreviewkd/models/losses/my_loss.py', 'tests/test_models/test_losses/test_my_loss.py'}
    named = set(re.findall(r'`((?:mmreviewkd|tests|docs|configs)/\S+)`', PAGE)) | set(re.findall(r'\]\((\S+)\)', PAGE))
    assert named >= made_up
    assert [path for path in named - made_up if not (ROOT / path).exists()] == []


@pytest.mark.parametrize('page', ['CONTRIBUTING.md', 'README.md', '.github/workflows/ci.yml'])
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    named = set(re.findall(r'(?:^|`)\s*make ([a-z][\w-]*)', (ROOT / page).read_text(), re.MULTILINE))
    if page.endswith('.yml'):
        named |= set(yaml.safe_load((ROOT / page).read_text())['jobs']['make']['strategy']['matrix']['target'])
    assert named and named <= targets


def test_continuous_integration_runs_the_commands_of_the_readme():
    matrix = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())['jobs']['make']['strategy']['matrix']
    assert all(f'make {target}' in (ROOT / 'README.md').read_text() for target in matrix['target'])
    assert matrix['target'] == ['test', 'demo']
