"""Execute a notebook in the current folder and store its outputs in it."""

import argparse
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from mmreviewkd.utils.checkpoint import save_atomically


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('notebook', type=Path)
    args = parser.parse_args()
    notebook = nbformat.read(args.notebook, as_version=4)
    NotebookClient(notebook, timeout=None, resources={'metadata': {'path': '.'}}).execute()
    save_atomically(lambda path: nbformat.write(notebook, path), args.notebook)


if __name__ == '__main__':
    main()
