"""Execute a notebook in the current folder and store its outputs in it, without warnings, colours and long logs."""

import argparse
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from mmreviewkd.utils.checkpoint import save_atomically

_COLOURS = re.compile(r'\x1b\[[0-9;]*m')
_LINES, _SHOWN = 30, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('notebook', type=Path)
    args = parser.parse_args()
    notebook = nbformat.read(args.notebook, as_version=4)
    NotebookClient(notebook, timeout=None, resources={'metadata': {'path': '.'}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == 'code':
            cell.outputs = [tidy(output) for output in cell.outputs if output.get('name') != 'stderr']
    save_atomically(lambda path: nbformat.write(notebook, path), args.notebook)


def tidy(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove colours from the text of an output, make paths relative to the current folder, and cut long logs."""
    if output.output_type == 'stream':
        lines = _COLOURS.sub('', output.text).replace(f'{Path.cwd()}/', '').splitlines(keepends=True)
        output.text = ''.join(lines if len(lines) <= _LINES else [*lines[:_SHOWN], '...\n'])
    return output


if __name__ == '__main__':
    main()
