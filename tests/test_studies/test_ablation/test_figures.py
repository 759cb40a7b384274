"""Figures of an ablation study's results."""

from ablation_results import RESULTS

from mmreviewkd.studies.ablation import figures


def test_pictures_are_drawn_though_results_are_missing(tmp_path):
    names = {(0, 0): 'ours', (0, 1): 'fixed', (1, 0): 'alone', (1, 1): 'half done'}
    figures.draw_matrix(RESULTS, ['1', '2'], names, 'alone', tmp_path / 'matrix.png')
    groups = {'group': {name: name for name in RESULTS['variants']}}
    figures.draw_bars(RESULTS, groups, 'alone', tmp_path / 'bars.png')
    figures.draw_lines(RESULTS, groups, 'alone', tmp_path / 'lines.png')
    assert all((tmp_path / f'{name}.png').stat().st_size > 5000 for name in ('matrix', 'bars', 'lines'))
