"""A sweep tries pairs, keeps what it found, and writes its table."""

import pytest

from mmreviewkd.studies.pairs import sweep as module
from mmreviewkd.studies.pairs.families import network
from mmreviewkd.studies.pairs.sweep import sweep, write_table
from mmreviewkd.studies.pairs.trial import Outcome

pytest.importorskip('mmpretrain')


def test_pairs_that_work_and_that_do_not_are_told_apart(tmp_path):
    file, page = tmp_path / 'outcomes.json', tmp_path / 'pairs.md'
    lenet, absent = network('lenet'), network('mmpretrain::absent.py')
    outcomes = list(sweep([(lenet, lenet), (lenet, absent)], file))
    assert [(o.student, o.teacher, o.levels, o.failed) for o in outcomes[:1]] == [('lenet', 'lenet', 4, '')]
    assert outcomes[1].failed.startswith('builds: ConfigError: ') and 'absent.py' in outcomes[1].failed

    page.write_text('# Pairs\n<!-- pairs -->\nold\n<!-- end -->\n')
    write_table(outcomes, page)
    text = page.read_text()
    assert '1 of 2 pairs pass every check (50.0 %).' in text and '| lenet | lenet | 4 | passes |' in text
    assert 'old' not in text


def test_a_stopped_sweep_goes_on(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(module, 'try_pair', lambda s, t: tried.append(s.name) or Outcome(s.name, t.name, 1))
    pairs = [(network('lenet'), network('lenet')), (network('resnet'), network('deit'))]
    list(sweep(pairs[:1], tmp_path / 'outcomes.json'))
    assert len(list(sweep(pairs, tmp_path / 'outcomes.json'))) == 2 and tried == ['lenet', 'resnet']
