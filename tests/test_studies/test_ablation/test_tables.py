"""Tables of an ablation study's results."""

from ablation_results import RESULTS

from mmreviewkd.studies.ablation import tables


def test_tables_have_the_figures_of_the_results():
    rows = {'alone': ['nothing'], 'ours': ['all'], 'fixed': ['more'], 'broken': ['bad'], 'half done': ['other']}
    assert tables.variants_table(RESULTS, ['what'], rows, 'alone').splitlines() == [
        '| what | loss weight | top-1 (%) | gain | by seed |',
        '| --- | ---: | ---: | ---: | ---: |',
        '| nothing |  | 51.00 ± 1.41 |  | 50.0 52.0 |',
        '| all | 3 | 54.50 ± 0.71 | +3.50 ± 2.12 | 55.0 54.0 |',
        '| more | 100 | 50.00 ± 1.41 | -1.00 ± 0.00 | 49.0 51.0 |',
        '| bad | 3 | diverged | – | 55.0 – |',
        '| other | 3 | – | – |  |']
    names = {(0, 0): 'ours', (0, 1): 'fixed', (1, 0): 'alone', (1, 1): 'half done'}
    assert tables.matrix_table(RESULTS, ['1', '2'], names, 'alone').splitlines()[2:] == [
        '| 1 | +3.50 ± 2.12 | -1.00 ± 0.00 |', '| 2 | +0.00 ± 0.00 | – |']
    assert '| ours | 1: 61.5 · **3: 61.6** |' in tables.tuning_table(RESULTS)
    assert '| T | `t.py` | 90.12 | 12,345 | 2.50 |' in tables.teachers_table(RESULTS, {'t.py': 'T'})
    assert '| 5 | 0, 1 | 7, 8 | 3 | 6 | torch 2 |' in tables.cost_table(RESULTS)
