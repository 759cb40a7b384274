"""The page of the model zoo is that of the metafiles."""

import yaml
from conftest import ROOT

from mmreviewkd.studies.model_zoo import fill_zoo, zoo_tables

PAGE = (ROOT / 'docs' / 'model_zoo.md').read_text()


def test_the_page_is_up_to_date():
    assert zoo_tables(ROOT) in PAGE, 'run python tools/model_zoo.py'


def test_every_config_is_on_the_page_with_whose_figures_it_has():
    for path in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']:
        for model in yaml.safe_load((ROOT / path).read_text())['Models']:
            line, = [line for line in PAGE.splitlines() if f'](../{model["Config"]})' in line]
            source = model['Metadata'].get('Figures From', 'measured here') if model.get('Results') else ''
            assert f'|{source.center(len(source) + 2)}|' in line


def test_the_tables_are_written_between_the_marks(tmp_path):
    for name in ('docs', 'configs'):
        (tmp_path / name).mkdir()
    (tmp_path / 'model-index.yml').write_text('Import: [configs/metafile.yml]\n')
    (tmp_path / 'configs' / 'metafile.yml').write_text(yaml.safe_dump(dict(
        Collections=[dict(Name='Knowledge Review, Toys', README='configs/README.md')],
        Models=[dict(Name='a', Config='configs/toys/a.py', Metadata=dict(Epochs=3, Parameters=12345))])))
    page = tmp_path / 'docs' / 'model_zoo.md'
    page.write_text('before\n<!-- models -->\nold\n<!-- end of the models -->\nafter\n')
    fill_zoo(tmp_path)
    text = page.read_text()
    assert '## Toys' in text and '| [a](../configs/toys/a.py) |  | 3 epochs |  | 12,345 |' in text
    assert 'old' not in text and text.startswith('before') and text.endswith('after\n')
