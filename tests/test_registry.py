"""Components are found by their scope alone, without custom imports."""

import subprocess
import sys

import mmengine.registry
import pytest
from conftest import ROOT

from mmreviewkd.registry import DATASETS, HOOKS, MODELS


@pytest.mark.slow
def test_a_fresh_process_finds_components_of_every_kind():
    code = (
        'from mmengine.registry import HOOKS, MODELS\n'
        'for kind in ("ReviewDistiller", "ReviewConnector", "HierarchicalContextLoss", "TokensToMap", "CIFARResNet"):\n'
        '    assert MODELS.get(f"mmreviewkd.{kind}").__name__ == kind\n'
        'assert HOOKS.get("mmreviewkd.ExportStudentHook").__name__ == "ExportStudentHook"\n')
    subprocess.run([sys.executable, '-c', code], check=True, env={'PYTHONPATH': str(ROOT), 'PATH': '/usr/bin:/bin'})


@pytest.mark.parametrize('registry', [MODELS, HOOKS, DATASETS])
def test_registries_are_children_of_mmengines(registry):
    assert registry.scope == 'mmreviewkd'
    assert registry.parent is getattr(mmengine.registry, f'{registry.name.upper()}S')
