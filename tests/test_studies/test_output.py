"""Results are written whole."""

import json

import cv2
import numpy as np
import pytest

from mmreviewkd.studies.output import draw_grid, fill_marks, pyplot, save_figure, write_json
from mmreviewkd.utils import ConfigError


def test_json_and_figures_are_written_into_new_folders(tmp_path):
    write_json([dict(a=1)], tmp_path / 'new' / 'x.json')
    assert json.loads((tmp_path / 'new' / 'x.json').read_text()) == [dict(a=1)]
    figure, _ = pyplot().subplots(figsize=(2, 1))
    save_figure(figure, tmp_path / 'newer' / 'x.png')
    assert cv2.imread(str(tmp_path / 'newer' / 'x.png')).shape == (120, 240, 3)
    assert not pyplot().fignum_exists(figure.number)


def test_a_grid_has_a_column_for_each_title_and_a_row_for_each_image(tmp_path):
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    draw_grid({'a': [black, white], 'b': [white, black]}, tmp_path / 'grid.png')
    cells = cv2.imread(str(tmp_path / 'grid.png'))
    height, width, _ = cells.shape
    middles = [[int(cells[height * (2 * i + 1) // 4, width * (2 * j + 1) // 4, 0]) for j in (0, 1)] for i in (0, 1)]
    assert middles == [[0, 255], [255, 0]]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    write_json(1, tmp_path / 'x.json')
    with pytest.raises(TypeError):
        write_json(object(), tmp_path / 'x.json')
    assert (tmp_path / 'x.json').read_text() == '1\n'
    assert [path.name for path in tmp_path.iterdir()] == ['x.json']


def test_only_what_stands_between_the_marks_changes(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('before\n<!-- a -->\nold\n<!-- end -->\nmiddle\n<!-- b -->\n<!-- end -->\nafter\n')
    fill_marks(page, {'<!-- a -->': r'new \1', '<!-- b -->': 'first'}, '<!-- end -->')
    assert page.read_text() == (
        'before\n<!-- a -->\nnew \\1\n<!-- end -->\nmiddle\n<!-- b -->\nfirst\n<!-- end -->\nafter\n')


@pytest.mark.parametrize('text', ['nothing', '<!-- a -->\n<!-- end -->\n' * 2])
def test_a_page_without_exactly_one_place_is_named_and_left_alone(text, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(text)
    with pytest.raises(ConfigError, match=r'page.md must hold <!-- a --> and <!-- end --> once, not [02] times'):
        fill_marks(page, {'<!-- a -->': 'new'}, '<!-- end -->')
    assert page.read_text() == text
