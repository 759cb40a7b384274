"""The page of the ablation study is generated from its results."""

import json
import shutil

from conftest import ROOT

from mmreviewkd.studies.ablation.page import publish


def test_the_page_is_generated_from_its_results(tmp_path):
    docs = ROOT / 'docs'
    shutil.copy(docs / 'ablations.md', tmp_path)
    results = json.loads((docs / 'ablations.json').read_text())
    publish(results, tmp_path)
    assert (tmp_path / 'ablations.md').read_text() == (docs / 'ablations.md').read_text()
    assert (tmp_path / 'ablations.json').read_text() == (docs / 'ablations.json').read_text()
    assert {file.name for file in tmp_path.glob('*.png')} == {file.name for file in docs.glob('ablations_*.png')}
