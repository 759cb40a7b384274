"""Figures become tables, a plot and a page."""

import cv2
import pytest

from mmreviewkd.studies.benchmark.report import (
    draw,
    fill_page,
    fill_rounding,
    rounding_table,
    run_summary,
    summary,
    table,
)
from mmreviewkd.utils import ConfigError


def row(time, kept, **more):
    return dict(milliseconds=100 * time, time=time, bytes=1e6 * kept, kept=kept, flops=2e9, arithmetic=1.0,
                peak_bytes=None, **more)


ROWS = {
    'floor, NCHW': row(1.0, 1.0, base=True), 'textbook, NCHW': row(3.0, 4.0), 'ours, NCHW': row(1.5, 1.4),
    'textbook, channels_last': row(2.0, 4.5), 'ours, channels_last': row(1.6, 1.3)}
RESULT = dict(machine=dict(cpu='some', threads=2), runs=7, pairs=dict(pair=ROWS))
PAGE = 'before\n<!-- measured -->\nold\n<!-- end of what was measured -->\nafter\n'


def test_a_table_has_a_row_a_column_and_the_base_in_bold():
    lines = table('pair', ROWS).splitlines()
    assert lines[0] == '### pair' and len(lines) == 4 + len(ROWS)
    assert lines[4] == '| **floor, NCHW** | 100 | 1.00 | 1 | 1.00 | 2 | 1.00 |'
    assert lines[6] == '| ours, NCHW | 150 | 1.50 | 1 | 1.40 | 2 | 1.00 |'


def test_on_a_gpu_a_table_has_the_peak_memory_and_tenths_of_a_millisecond():
    rows = {'floor, NCHW': {**row(1.0, 1.0, base=True), 'peak_bytes': 2e6},
            'ours, NCHW': {**row(1.5, 1.4), 'peak_bytes': 3e6}}
    lines = table('pair', rows).splitlines()
    assert lines[2].endswith('| MB peak | peak |') and lines[3].count('---') == 9
    assert lines[5] == '| ours, NCHW | 150.0 | 1.50 | 1 | 1.40 | 2 | 1.00 | 3 | 1.50 |'


def test_the_summary_takes_the_faster_memory_format_of_each():
    assert summary(dict(pair=ROWS)).splitlines()[-1] == '| pair | 2.00 · 4.50 | 1.50 · 1.40 |'


def test_the_page_is_filled_between_its_marks(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(PAGE)
    for _ in range(2):
        fill_page(RESULT, page)
        text = page.read_text()
        assert text.startswith('before\n<!-- measured -->\n\n| pair |')
        assert text.endswith('|\n\n<!-- end of what was measured -->\nafter\n')
        assert '![Time and memory](page.png)' in text and 'cpu some, threads 2; medians of 7 runs' in text
        assert text.count('### pair') == 1 and 'old' not in text
    assert cv2.imread(str(tmp_path / 'page.png')) is not None


def test_a_page_without_marks_is_named_before_anything_is_written(tmp_path):
    (tmp_path / 'page.md').write_text('text')
    with pytest.raises(ConfigError, match=r'page.md must hold <!-- measured -->'):
        fill_page(RESULT, tmp_path / 'page.md')
    assert [path.name for path in tmp_path.iterdir()] == ['page.md']


def test_the_plot_grows_with_the_cases(tmp_path):
    heights = []
    for count in (1, 4):
        draw({f'pair {i}': ROWS for i in range(count)}, tmp_path / 'plot.png')
        heights.append(cv2.imread(str(tmp_path / 'plot.png')).shape[0])
    assert heights[0] < heights[1]


def test_a_run_is_summed_up():
    rows = {**ROWS, 'floor, channels_last': row(0.9, 1.0)}
    text = run_summary(rows, 36000)
    assert 'A run of 36000 steps' in text
    assert '- floor: 0.9 h' in text and '- textbook: 2 h' in text and '- ours: 1.5 h' in text
    assert 'costs +0.6 h and +0 MB over the floor, and -0.5 h and -3 MB over the textbook' in text


ROUNDING = {f'{what}, {f}': dict(error=error, gradient='blocks.0.conv2.0.weight')
            for what, error in (('textbook', 2e-4), ('ours', 1e-5)) for f in ('NCHW', 'channels_last')}


def test_rounding_has_a_row_a_case_with_the_worst_gradients(tmp_path):
    lines = rounding_table(dict(pair=ROUNDING)).splitlines()
    assert len(lines) == 3 and lines[2].startswith('| pair | 2.0e-04 `blocks.0.conv2.0.weight` |')
    assert lines[2].count('1.0e-05') == 2
    page = tmp_path / 'page.md'
    page.write_text('a\n<!-- rounding -->\nold\n<!-- end of rounding -->\nb\n')
    fill_rounding(dict(machine=dict(cpu='some'), rounding=dict(pair=ROUNDING)), page)
    assert 'old' not in page.read_text() and '2.0e-04' in page.read_text() and 'cpu some.' in page.read_text()
