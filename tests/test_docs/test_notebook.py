"""The notebook runs from its first cell to its last, and the stored outputs are those of such a run."""

import json
import os
from pathlib import Path

import pytest
from conftest import ROOT

NOTEBOOK = json.loads((ROOT / 'docs' / 'own_pair_notebook.ipynb').read_text())
CODE = [cell for cell in NOTEBOOK['cells'] if cell['cell_type'] == 'code']


@pytest.mark.exhaustive  # test_snippets.py runs the same with commands
def test_it_runs_with_fewer_images(tmp_path, fashion_mnist, monkeypatch):
    pytest.importorskip('mmpretrain')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('mmreviewkd.studies.fashion_mnist.prepare_fashion_mnist', lambda _: fashion_mnist)
    os.symlink(ROOT / 'configs', 'configs')
    names = {'Image': None}
    for number, cell in enumerate(CODE, start=1):
        text = ''.join(cell['source']).replace('IMAGES = 1600', 'IMAGES = 128')
        text = text.replace('from IPython.display import Image', 'Image = Path')  # no part of this package's tests
        exec(compile(text, f'cell {number}', 'exec'), names)
    assert Path('work_dirs/notebook/distilled/student/student.pth').is_file()
    assert (names['report'].parent / 'levels_image1.png').is_file()


def test_its_stored_outputs_are_those_of_one_run_without_errors():
    assert [cell['execution_count'] for cell in CODE] == list(range(1, len(CODE) + 1))
    outputs = [output for cell in CODE for output in cell['outputs']]
    assert not any(output['output_type'] == 'error' for output in outputs)
    assert any('image/png' in output.get('data', {}) for output in outputs)
    text = json.dumps(outputs)
    assert '/home/' not in text and '/root/' not in text and 'site-packages' not in text
    assert 'levels, fine to coarse' in text and 'Exported the student to' in text
