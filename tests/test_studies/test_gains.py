import pytest

from mmreviewkd.studies.gains import PairedScores, compare_seeds
from mmreviewkd.utils.errors import ConfigError


def test_every_seed_is_in_the_table_with_mean_spread_and_worst():
    table = PairedScores([3, 4, 5], [80.0, 81.0, 82.0], [84.0, 85.0, 81.5]).markdown('top-1 (%)').splitlines()
    assert table[2] == '| 3 | 80.00 | 84.00 | +4.00 |'
    assert table[4] == '| 5 | 82.00 | 81.50 | -0.50 |'
    assert table[5] == '| mean | 81.00 | 83.50 | +2.50 |'
    assert table[6] == '| standard deviation | 1.00 | 1.80 | 2.60 |'
    assert table[7] == '| worst | 80.00 | 81.50 | -0.50 |'


def test_two_methods_can_be_named():
    table = PairedScores([0, 1], [1.0, 2.0], [3.0, 4.0], ('CWD', 'Knowledge Review')).markdown('mIoU')
    assert table.startswith('| seed | CWD, mIoU | Knowledge Review, mIoU | gain |')


def test_p_value_is_that_of_the_exact_signed_rank_test():
    # All of n gains positive: 2 of the 2^n equally likely assignments of signs are as extreme.
    assert PairedScores(range(8), range(8), [2 * i + 1 for i in range(8)]).p_value() == pytest.approx(2 / 2**8)


def test_unpaired_scores_are_refused():
    with pytest.raises(ConfigError, match='3 seeds, 3 scores of students alone and 2 of distilled'):
        PairedScores([0, 1, 2], [1.0, 2.0, 3.0], [1.0, 2.0])


def test_each_metric_that_was_measured_is_compared(tmp_path):
    alone, distilled = ([dict(metrics={'bbox': value}) for value in values] for values in ([0.3, 0.31], [0.33, 0.335]))
    compare_seeds([0, 1], alone, distilled, {'box AP': 'bbox', 'mask AP': 'segm'}, 100.0, tmp_path / 'seeds.md')
    written = (tmp_path / 'seeds.md').read_text()
    assert '| 1 | 31.00 | 33.50 | +2.50 |' in written
    assert 'mask AP' not in written
    assert (tmp_path / 'seeds.png').stat().st_size > 1000


def test_a_single_seed_is_not_compared(tmp_path):
    compare_seeds([0], [{}], [{}], {}, 1.0, tmp_path / 'seeds.md')
    assert not any(tmp_path.iterdir())
