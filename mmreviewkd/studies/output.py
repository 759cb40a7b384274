"""Write JSON, figures and generated parts of Markdown pages, each file completely or not at all."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmreviewkd.utils.checkpoint import save_atomically
from mmreviewkd.utils.errors import ConfigError


def write_json(content: Any, file: Path) -> None:
    """Write a JSON file."""
    save_atomically(lambda path: Path(path).write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8'), file)


def pyplot() -> Any:
    """``matplotlib.pyplot`` on a backend that needs no display; imported on the first call, as it is slow."""
    import matplotlib
    matplotlib.use('agg')
    from matplotlib import pyplot
    return pyplot


def save_figure(figure: Any, file: Path) -> None:
    """Write a matplotlib figure in the format of the file's suffix, and close it."""
    save_atomically(lambda path: figure.savefig(path, dpi=120), Path(file))
    pyplot().close(figure)


def check_marks(page: Path, begins: Iterable[str], end: str) -> None:
    """Refuse a page that :func:`fill_marks` cannot fill.

    Args:
        page (Path): The page.
        begins (Iterable[str]): The marks that precede the contents.
        end (str): The mark that ends each.

    Raises:
        ConfigError: If there is no such page, or it does not hold a mark and, after it, the end exactly once.
    """
    if not page.is_file():
        raise ConfigError(f'there is no page {str(page)!r} to fill')
    text = page.read_text(encoding='utf-8')
    for begin in begins:
        found = len(_place(begin, end).findall(text))
        if found != 1:
            raise ConfigError(f'{page} must hold {begin} and {end} once, not {found} times')


def draw_grid(columns: Mapping[str, Sequence[np.ndarray]], file: Path) -> None:
    """Draw a grid of images with a titled column for each entry and a row for each of its images.

    Args:
        columns (Mapping[str, Sequence[np.ndarray]]): As many RGB images ``[h, w, 3]`` in each column, by its title.
        file (Path): The image file to write.
    """
    rows = len(next(iter(columns.values())))
    figure, grid = pyplot().subplots(
        rows, len(columns), figsize=(2.6 * len(columns), 2.3 * rows), layout='constrained', squeeze=False)
    for column, (title, images) in enumerate(columns.items()):
        grid[0, column].set_title(title)
        for row, image in enumerate(images):
            grid[row, column].imshow(image)
            grid[row, column].axis('off')
    save_figure(figure, file)


def fill_marks(page: Path, contents: Mapping[str, str], end: str) -> None:
    """Replace the parts of a Markdown page between pairs of marks; the marks stay.

    Args:
        page (Path): The page.
        contents (Mapping[str, str]): The new contents, by the mark, a line of its own, that precedes each.
        end (str): The mark that ends each.

    Raises:
        ConfigError: See :func:`check_marks`.
    """
    check_marks(page, contents, end)
    text = page.read_text(encoding='utf-8')
    for begin, content in contents.items():
        text = _place(begin, end).sub(lambda match, content=content: f'{match[1]}{content}\n{match[2]}', text)
    save_atomically(lambda path: Path(path).write_text(text, encoding='utf-8'), page)


def _place(begin: str, end: str) -> re.Pattern:
    return re.compile(rf'({re.escape(begin)}\n).*?({re.escape(end)})', re.DOTALL)
