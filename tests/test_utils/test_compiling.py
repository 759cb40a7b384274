"""torch.compile is left out where it does not work."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from mmreviewkd.utils.compiling import options_that_work

WITHOUT_A_COMPILER = """
import torch
from conftest import review_config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmreviewkd.registry import MODELS
init_default_scope('mmpretrain')
MMLogger.get_instance('test', log_level='WARNING')
distiller = MODELS.build(review_config(compile=True))
distiller.init_weights()
print(distiller.frozen_teacher.compiled, distiller.connector._compiled_call_impl is None)
levels = distiller.frozen_teacher.levels(torch.zeros(2, 1, 28, 28))
print(len(levels))
"""


def test_options_that_work_are_kept():
    options = dict(backend='eager')
    assert options_that_work(options, torch.device('cpu'), 'model.compile') is options
    assert options_that_work(None, torch.device('cpu'), 'model.compile') is None


@pytest.mark.slow
def test_without_a_compiler_nothing_is_compiled(tmp_path):
    pytest.importorskip('mmpretrain')
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT_A_COMPILER], cwd=ROOT / 'tests', capture_output=True, text=True, check=True,
        env={**os.environ, 'CXX': '/nonexistent', 'TORCHINDUCTOR_CACHE_DIR': str(tmp_path), 'PYTHONPATH': str(ROOT)})
    assert done.stdout.splitlines()[-2] == 'False True'
    assert 'model.compile: torch.compile does not work here, so nothing is compiled (' in done.stdout + done.stderr
    assert 'No working C++ compiler' in done.stdout + done.stderr
