"""Write the page of the ablation study, ``docs/ablations.md``: its tables, figures and raw results."""

from pathlib import Path

from mmreviewkd.studies.output import check_marks, fill_marks, write_json

from . import figures
from .tables import cost_table, matrix_table, teachers_table, tuning_table, variants_table
from .variants import CROSS_STAGE, LEVELS, METHODS, SENSITIVITY, TEACHERS

ALONE_NAME = METHODS[0].name
CONNECTIONS = {pair: variant.name for pair, variant in CROSS_STAGE.items()}
COMPONENTS = {
    'student alone': ['student alone', '', '', '', ''],
    'same level, L2': ['same level', '', '', '', ''],
    'paths, L2': ['+ review paths', 'yes', '', '', ''],
    'nested, addition, L2': ['+ residual framework, by addition', 'yes', 'yes', '', ''],
    'nested, ABF, L2': ['+ ABF (all without HCL)', 'yes', 'yes', 'yes', ''],
    'Knowledge Review': ['+ HCL: **Knowledge Review**', 'yes', 'yes', 'yes', 'yes'],
    'nested, addition, HCL': ['all without ABF', 'yes', 'yes', '', 'yes'],
    'paths, HCL': ['all without the nesting (and so without ABF)', 'yes', '', '', 'yes'],
    'same level, HCL': ['HCL alone', '', '', '', 'yes'],
}
OTHERS = ['student alone', 'logit KD', 'attention transfer', 'FitNets', 'PKD', 'Knowledge Review',
          'Knowledge Review with 1x1 kernels and the loss of PKD', 'Knowledge Review with the loss of PKD',
          'Knowledge Review + logit KD', 'Knowledge Review with the loss of PKD + logit KD']


_TABLES = ('teachers', 'loss weights', 'cross-stage', 'components', 'others', 'sensitivity', 'cost')
_MARK, _END = '<!-- table: {} -->', '<!-- end -->'


def check_page(folder: Path) -> None:
    """Refuse a folder without a page that :func:`publish` can fill, before anything is trained.

    Raises:
        ConfigError: If there is no ``ablations.md``, or it lacks the marks of a table.
    """
    check_marks(folder / 'ablations.md', map(_MARK.format, _TABLES), _END)


def publish(results: dict, folder: Path) -> None:
    """Write raw results and figures beside ``ablations.md``, and the tables into it.

    Args:
        results (dict): The results of :meth:`~mmreviewkd.studies.ablation.study.Ablation.results`.
        folder (Path): The folder of ``ablations.md``.

    Raises:
        ConfigError: If the page lacks the marks of a table.
    """
    write_json(results, folder / 'ablations.json')
    fill_marks(
        folder / 'ablations.md', {_MARK.format(name): table for name, table in tables(results).items()}, _END)
    figures.draw_matrix(results, LEVELS, CONNECTIONS, ALONE_NAME, folder / 'ablations_cross_stage.png')
    figures.draw_bars(
        results, {'components': {name: cells[0].replace('**', '') for name, cells in COMPONENTS.items()},
                  'against others': {name: name for name in OTHERS}},
        ALONE_NAME, folder / 'ablations_methods.png')
    figures.draw_lines(
        results, {title: {variant.name: label.replace(', ', '\n') for label, variant in group.items()}
                  for title, group in SENSITIVITY.items()},
        ALONE_NAME, folder / 'ablations_sensitivity.png')


def tables(results: dict) -> dict[str, str]:
    """Return the tables of the page, by the name in their mark."""
    return {
        'teachers': teachers_table(results, {config: name for name, config in TEACHERS.items()}),
        'loss weights': tuning_table(results),
        'cross-stage': matrix_table(results, LEVELS, CONNECTIONS, ALONE_NAME),
        'components': variants_table(
            results, ['', 'review paths', 'residual', 'ABF', 'HCL'], COMPONENTS, ALONE_NAME),
        'others': variants_table(results, ['method'], {name: [name] for name in OTHERS}, ALONE_NAME),
        'sensitivity': variants_table(
            results, ['setting', 'value'],
            {variant.name: [title, label] for title, group in SENSITIVITY.items() for label, variant in group.items()},
            ALONE_NAME),
        'cost': cost_table(results),
    }
