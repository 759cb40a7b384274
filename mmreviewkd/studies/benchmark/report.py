"""Report the benchmark's figures as Markdown tables, a plot and a page."""

from collections.abc import Mapping
from pathlib import Path

from mmreviewkd.studies.output import check_marks, fill_marks, pyplot, save_figure

from .steps import FORMATS

_BEGIN, _END = '<!-- measured -->', '<!-- end of what was measured -->'
_BEGIN_ROUNDING, _END_ROUNDING = '<!-- rounding -->', '<!-- end of rounding -->'


def table(name: str, rows: Mapping[str, dict]) -> str:
    """Make a Markdown table of one case: a row for each step of :func:`~.measuring.measure`, the base in bold."""
    peak = any(row.get('peak_bytes') for row in rows.values())
    lines = [f'### {name}', '', '| | ms | time | MB kept | kept | GFLOP | FLOP |' + ' MB peak | peak |' * peak,
             '|---|---|---|---|---|---|---|' + '---|---|' * peak]
    base = next((row for row in rows.values() if row.get('base')), {})
    for column, row in rows.items():
        mark = '**' if row.get('base') else ''
        lines.append(
            f'| {mark}{column}{mark} | {row["milliseconds"]:.{1 if peak else 0}f} | {row["time"]:.2f} | '
            f'{row["bytes"] / 1e6:.0f} | {row["kept"]:.2f} | {row["flops"] / 1e9:.0f} | {row["arithmetic"]:.2f} |'
            + (f' {row["peak_bytes"] / 1e6:.0f} | {row["peak_bytes"] / base["peak_bytes"]:.2f} |' if peak else ''))
    return '\n'.join(lines) + '\n'


def summary(cases: Mapping[str, Mapping[str, dict]]) -> str:
    """Make a Markdown table with one row per case: time and bytes kept of textbook and ours, as ratios to the base."""
    lines = ['| pair | textbook, time · kept | ours, time · kept |', '|---|---|---|']
    for name, rows in cases.items():
        cells = [f'{_headline(rows, what, "time"):.2f} · {_headline(rows, what, "kept"):.2f}'
                 for what in ('textbook', 'ours')]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def run_summary(rows: Mapping[str, dict], steps: int) -> str:
    """Say in a few lines what distillation costs in a whole run, and what it saves over the textbook.

    Args:
        rows (Mapping[str, dict]): The figures of a config.
        steps (int): Training steps of its run.
    """
    floor, textbook, ours = (_fastest(rows, what) for what in ('floor', 'textbook', 'ours'))
    hours = {name: row['milliseconds'] * steps / 3.6e6 for name, row in (
        ('floor', floor), ('textbook', textbook), ('ours', ours))}
    return '\n'.join([
        f'A run of {steps} steps takes, without optimizer, data loading and validation:',
        *(f'- {name}: {value:.2g} h' for name, value in hours.items()),
        f'Ours costs {hours["ours"] - hours["floor"]:+.2g} h and {(ours["bytes"] - floor["bytes"]) / 1e6:+.0f} MB over '
        f'the floor, and {hours["ours"] - hours["textbook"]:+.2g} h and '
        f'{(ours["bytes"] - textbook["bytes"]) / 1e6:+.0f} MB over the textbook.']) + '\n'


def draw(cases: Mapping[str, Mapping[str, dict]], file: Path) -> None:
    """Draw the summary as bars, textbook and ours beside the base."""
    figure, axes = pyplot().subplots(1, 2, figsize=(11, 0.8 + 0.6 * len(cases)), sharey=True)
    for axis, key, label in zip(axes, ('time', 'kept'), ('time of a step', 'bytes kept for the backward pass')):
        for offset, (what, color) in enumerate((('textbook', '#b0b0b0'), ('ours', '#1f77b4'))):
            values = [_headline(rows, what, key) for rows in cases.values()]
            bars = axis.barh([i + 0.38 * offset for i in range(len(cases))], values, 0.36, color=color, label=what)
            axis.bar_label(bars, fmt='%.2f', padding=3, fontsize=8)
        axis.axvline(1, color='black', linewidth=0.8)
        axis.set_title(f'{label}, ratio to the base')
        axis.margins(x=0.12)
        axis.spines[['top', 'right']].set_visible(False)
    axes[0].set_yticks([i + 0.19 for i in range(len(cases))], [*cases])
    axes[0].invert_yaxis()
    axes[1].legend(frameon=False)
    figure.tight_layout()
    save_figure(figure, file)


def check_page(page: Path, rounding: bool = False) -> None:
    """Refuse a page that :func:`fill_page`, or :func:`fill_rounding`, cannot fill, before anything is measured."""
    check_marks(page, [_BEGIN_ROUNDING if rounding else _BEGIN], _END_ROUNDING if rounding else _END)


def fill_page(result: Mapping, page: Path) -> None:
    """Put tables, plot and machine into a page, between its marks ``<!-- measured -->`` and ``<!-- end ... -->``.

    Args:
        result (Mapping): ``machine``, ``runs`` and, as ``pairs``, the figures by case.
        page (Path): The page; the plot goes beside it.

    Raises:
        ConfigError: If the page does not hold both marks once.
    """
    machine = ', '.join(f'{key} {value}' for key, value in result['machine'].items())
    tables = '\n'.join(table(name, rows) for name, rows in result['pairs'].items())
    content = (f'\n{summary(result["pairs"])}\n![Time and memory]({page.stem}.png)\n\nMachine: {machine}; medians of '
               f'{result["runs"]} runs.\n\n{tables}')
    fill_marks(page, {_BEGIN: content}, _END)
    draw(result['pairs'], page.with_suffix('.png'))


def rounding_table(cases: Mapping[str, Mapping[str, dict]]) -> str:
    """Make a Markdown table of the worst gradients of :func:`~.rounding.rounding_of`: a row per case."""
    columns = [f'{what}, {f}' for what in ('textbook', 'ours') for f in FORMATS]
    lines = [f'| | {" | ".join(columns)} |', '|---|' + '---|' * len(columns)]
    for name, rows in cases.items():
        cells = [f'{rows[column]["error"]:.1e} `{rows[column]["gradient"]}`' for column in columns]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def fill_rounding(result: Mapping, page: Path) -> None:
    """Put the table of rounding errors into a page, between ``<!-- rounding -->`` and ``<!-- end of rounding -->``.

    Args:
        result (Mapping): ``machine`` and, as ``rounding``, the errors by case.
        page (Path): The page.

    Raises:
        ConfigError: If the page does not hold both marks once.
    """
    machine = ', '.join(f'{key} {value}' for key, value in result['machine'].items())
    content = f'\n{rounding_table(result["rounding"])}\nMachine: {machine}.\n'
    fill_marks(page, {_BEGIN_ROUNDING: content}, _END_ROUNDING)


def _headline(rows: Mapping[str, dict], what: str, figure: str) -> float:
    """A figure of textbook or ours in the faster of the two memory formats."""
    return _fastest(rows, what)[figure]


def _fastest(rows: Mapping[str, dict], what: str) -> dict:
    """The figures of floor, textbook or ours in the faster of the two memory formats."""
    return min((rows[f'{what}, {f}'] for f in FORMATS if f'{what}, {f}' in rows), key=lambda row: row['time'])
