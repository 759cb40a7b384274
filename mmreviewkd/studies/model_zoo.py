"""The model zoo as Markdown tables, made from the metafiles."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from .output import fill_marks

_BEGIN, _END = '<!-- models -->', '<!-- end of the models -->'


def zoo_tables(root: Path) -> str:
    """Make a table for each collection of the model index.

    Args:
        root (Path): The folder of ``model-index.yml``.

    Returns:
        str: Markdown, with links as seen from ``docs``.
    """
    index = yaml.safe_load((root / 'model-index.yml').read_text(encoding='utf-8'))['Import']
    return '\n'.join(_table(yaml.safe_load((root / path).read_text(encoding='utf-8'))) for path in index)


def fill_zoo(root: Path) -> None:
    """Write the tables into ``docs/model_zoo.md``, between its marks.

    Args:
        root (Path): The root of the repository.

    Raises:
        ConfigError: If the page has no such marks.
    """
    fill_marks(root / 'docs' / 'model_zoo.md', {_BEGIN: zoo_tables(root)}, _END)


def _table(metafile: Mapping) -> str:
    collection = metafile['Collections'][0]
    models = metafile['Models']
    metrics = list(dict.fromkeys(
        (result['Dataset'], metric) for model in models for result in model.get('Results', ()) for metric in
        result['Metrics']))
    header = ['config', *(f'{metric}, {dataset}' for dataset, metric in metrics), 'figures', 'length', 'batch',
              'parameters']
    lines = ['', f'## {collection["Name"].partition(", ")[2]}', '',
             f'[About these configs](../{collection["README"]}).', '',
             f'| {" | ".join(header)} |', f'|---|{"---:|" * len(metrics)}---|---:|---:|---:|']
    for model in models:
        data = model['Metadata']
        found = {(result['Dataset'], metric): value for result in model.get('Results', ())
                 for metric, value in result['Metrics'].items()}
        length = next((f'{data[key]:,} {key.lower()}' for key in ('Epochs', 'Iterations') if key in data), '')
        cells = [f'[{Path(model["Config"]).stem}](../{model["Config"]})',
                 *(f'{found[key]:.2f}' if key in found else '' for key in metrics),
                 data.get('Figures From', 'measured here') if found else '', length, str(data.get('Batch Size', '')),
                 f'{data["Parameters"]:,}' if 'Parameters' in data else '']
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join([*lines, ''])
