"""Reading the tables that tools print."""

import io

from rich.console import Console
from rich.table import Table


def rows_of(table: Table) -> dict[str, list[str]]:
    """The cells of a table's rows, by their first cell; the title under ``'title'``."""
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table)
    lines = [line for line in console.export_text().splitlines() if line.startswith('│')]
    rows = ([cell.strip() for cell in line.split('│')[1:-1]] for line in lines)
    return {'title': [str(table.title)], **{first: cells for first, *cells in rows}}
